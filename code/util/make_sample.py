"""A small sample of synthetic aerial scenes with building polygons."""

from pathlib import Path

from unet.terminal import cli


def read_arguments():
    """Read the command line."""
    parser = cli.new_parser(
        "The result is a folder of synthetic aerial pictures, with outlines\n"
        "of the roofs: images/Folder_N.jpg, annotations/Folder_N.txt.",
        [
            "python code/util/make_sample.py --overwrite",
            "python code/util/make_sample.py --out /tmp/scenes --scenes 8",
        ],
    )
    add = parser.add_argument
    add("--out", type=Path, default=cli.DATA / "raw", help="output folder")
    count = cli.number(int, 1)
    add("--scenes", type=count, default=120, help="number of scenes")
    add(
        "--size",
        type=cli.number(int, 32),
        default=128,
        help="side of a picture in pixels",
    )
    add(
        "--seed",
        type=cli.number(int, 0),
        default=0,
        help="of all random choices",
    )
    add("--overwrite", action="store_true", help="replace an existing folder")
    add("--quiet", action="store_true", help="print nothing but errors")
    return parser.parse_args()


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args = read_arguments()

import cv2
from shapely.geometry import Polygon

from unet.files.atomic import new_tree, write_text
from unet.synthetic.drawing import render


def write_scene(tree, number, picture, rings):
    """Write one scene's picture and its rings below ``tree``."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
    packed = cv2.imencode(".jpg", picture[..., ::-1], quality)[1]
    (tree / "images" / f"Folder_{number}.jpg").write_bytes(packed.tobytes())
    points = [point for ring in rings for point in ring]
    write_text(tree / "annotations" / f"Folder_{number}.txt", f"{points}\n")


def main(args):
    buildings, covered = 0, 0
    scenes = range(1, args.scenes + 1)
    with new_tree(args.out, [], args.overwrite) as tree:
        for name in ("images", "annotations"):
            (tree / name).mkdir()
        progress = cli.progress_bar(args.quiet)
        for scene in progress(scenes, args.scenes, "Drawing scenes"):
            picture, rings = render(args.seed, scene, args.size)
            write_scene(tree, scene, picture, rings)
            buildings += len(rings)
            covered += sum(Polygon(ring).area for ring in rings)
    if not args.quiet:
        share = covered / (args.scenes * args.size**2)
        print(
            f"Wrote {args.scenes} scenes with {buildings} buildings "
            f"({share:.1%} of the pixels) to {cli.short_path(args.out)}."
        )


if __name__ == "__main__":
    main(args)
