"""Scenes and annotations to a tree of tiles with one mask per instance."""

from pathlib import Path

from unet.terminal import class_options, cli, reading_options

SAMPLE = [cli.DATA / "raw" / "images", cli.DATA / "raw" / "annotations"]
SIZE, SIZE_OF_SAMPLE = 256, 64


def read_arguments():
    parser = cli.new_parser(
        "The result is one folder per tile, SCENE_rROW_cCOLUMN_sSIZE/images/ "
        "and masks/, with one mask per instance and the tile's place on the "
        "ground: what split.py divides by blocks of ground and train_unet.py "
        "reads.",
        [
            "python code/util/tile.py",
            "python code/util/tile.py data/raw/images data/raw/annotations "
            "--size 64 --overlap 0.5 --out prepared/overlapping",
        ],
    )
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        type=Path,
        metavar="SCENES ANNOTATIONS",
        default=SAMPLE,
        help="scenes: images and rasters of any size, files or directories; "
        "and last annotations: a file or a directory of any format that "
        "polygon_to_mask.py reads, polygons on the ground or in pixels, or "
        "complete masks of the scene's grid or of another one",
    )
    add(
        "--size",
        type=cli.number(int, 16),
        help=f"side of a tile in pixels (default: {SIZE}, and "
        f"{SIZE_OF_SAMPLE} for the sample)",
    )
    add(
        "--resolution",
        type=cli.number(float, 1e-6),
        metavar="METRES",
        help="ground that a pixel of a tile covers; scenes are resampled by "
        "area (default: the scene's own)",
    )
    add(
        "--overlap",
        type=cli.number(float, 0, 0.9),
        default=0.0,
        help="share of a tile that the next one shows too",
    )
    add(
        "--keep-empty",
        type=cli.number(float, 0, 1),
        metavar="SHARE",
        default=1.0,
        help="share to write of the tiles on which there is nothing",
    )
    class_options.add(parser)
    add(
        "--out",
        type=Path,
        default=Path("prepared") / "tiles",
        help="directory to make",
    )
    add("--overwrite", action="store_true", help="replace --out")
    add("--quiet", action="store_true", help="no progress bar")
    reading_options.add_rules(parser)
    args = parser.parse_args()
    if len(args.paths) == 1:
        parser.error(
            f"{args.paths[0]}: expected annotations behind the scenes, found "
            "none. Give SCENES ANNOTATIONS, or neither for the sample data"
        )
    if args.size is None:
        args.size = SIZE_OF_SAMPLE if args.paths is SAMPLE else SIZE
    return args


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args = read_arguments()

from collections import Counter

from unet.annotations.drawing import choose_classes
from unet.annotations.pairing import pair
from unet.files.atomic import new_tree
from unet.files.errors import DataError
from unet.files.folders import natural
from unet.tiling.cutting import cut_scenes
from unet.tiling.grid import Cut
from unet.tiling.sources import open_sources, refuse_equal_names


def main(args):
    *scenes, annotations = args.paths
    refuse_equal_names(scenes)
    rules = reading_options.rules_of(args, args.paths)
    progress = cli.progress_bar(args.quiet)
    pairs, problems = pair(
        scenes if len(scenes) > 1 else scenes[0],
        [annotations],
        args.format,
        rules,
        progress,
        read_masks=False,
        embedded=False,
    )
    usable = class_options.usable_pairs(pairs, problems)
    cut = Cut(args.size, args.resolution, args.overlap, args.keep_empty)
    choice = class_options.choice_of(args, rules)
    with new_tree(args.out, args.paths, args.overwrite) as tree:
        sources, refused = open_sources(
            usable.pairs, cut, rules, args.components, progress
        )
        known = [
            source.labels.annotation for source in sources if source.labels
        ]
        chosen = choose_classes(known, choice)
        steps = sum(1 + len(source.grid.rows) for source in sources)
        results = cut_scenes(tree, sources, chosen.classes, cut)
        results = progress(results, steps, "Cutting tiles")
        results = [scene for scene in results if scene]
        refused |= {scene.name: scene.error for scene in results if scene.error}
        refused |= usable.refused
        refused = [refused[name] for name in sorted(refused, key=natural)]
        results = [scene for scene in results if not scene.error]
        if not any(scene.tiles for scene in results):
            raise DataError(
                refused[0]
                if refused
                else f"{scenes[0]}: expected scenes with data, found none in "
                "which half of a tile has any. Take smaller tiles."
            )
    report(results, usable, args)
    class_options.report_ignored(
        sum(scene.ignored for scene in results),
        sum(scene.judged for scene in results),
        f"{sum(scene.ignored > 0 for scene in results)} scenes",
        chosen.ignored,
    )
    class_options.report(chosen, choice.wanted)
    cli.end_with([*refused, *usable.unread])


def report(results, usable, args):
    """Print what was made, mended and left out."""

    def total(name):
        return sum(getattr(scene, name) for scene in results)

    size = f"{args.size} x {args.size} pixels"
    scenes = f"{len(results)} scene{'s' * (len(results) != 1)}"
    print(
        f"{total('tiles')} tiles of {size} from {scenes}, "
        f"{total('masks')} masks -> {cli.short_path(args.out)}"
    )
    print(f"  {total('empty')} tiles with nothing on them (masks/ is empty)")
    for count, text in (
        (total("unlabelled"), "tiles that no annotation covers (no masks/)"),
        (total("no_data"), "tiles left out: half or more has no data"),
        (total("left_out"), "tiles left out: nothing on them (--keep-empty)"),
        (total("unseen"), "objects left out: on no labelled tile"),
    ):
        if count:
            print(f"  {count} {text}")
    if total("beyond"):
        share = total("beyond") / total("pixels")
        print(
            f"  {share:.1%} of the pixels lie on no tile: too little is left "
            "at the lower and right borders"
        )
    usable.report_left_out()
    repairs = sum((scene.repairs for scene in results), Counter())
    for repair, count in sorted(repairs.items()):
        print(f"  repaired: {repair}: {count}")


if __name__ == "__main__":
    main(args)
