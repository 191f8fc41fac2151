"""A tree of folders to another size, masks exactly."""

from pathlib import Path

from unet.terminal import cli


def read_arguments():
    parser = cli.new_parser(
        "The result is the same tree with images and masks of one size. "
        "Images are averaged over areas; the instances of an image are merged "
        "at its own size, and a pixel of the new mask is set where half of it "
        "or more is covered.",
        [
            "python code/util/resize.py",
            "python code/util/resize.py data/test --size 512 --keep-aspect",
        ],
    )
    add = parser.add_argument
    add(
        "tree",
        nargs="?",
        type=Path,
        default=cli.DATA / "train",
        help="directory of Folder_n folders",
    )
    add(
        "--size",
        type=cli.number(int, 1),
        default=128,
        help="side of the new images in pixels",
    )
    add(
        "--keep-aspect",
        action="store_true",
        help="fit the longer side and fill the rest by reflection, instead "
        "of stretching the image",
    )
    add(
        "--out",
        type=Path,
        help="directory to make (default: prepared/TREE_SIZE)",
    )
    add("--overwrite", action="store_true", help="replace --out")
    add("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args()


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args = read_arguments()

import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np

from unet.files.atomic import new_tree, write_text
from unet.files.cores import usable_cores
from unet.files.errors import DataError
from unet.files.folders import (
    CLASSES,
    DEFAULT_CLASS,
    UNKNOWN,
    class_names,
    usable_samples,
)
from unet.geometry.masks import resize_ids
from unet.imagery.bands import PICTURES
from unet.imagery.georeference import read_georeference
from unet.imagery.mask_values import read_class_ids, write_ignored
from unet.imagery.png import write_png
from unet.imagery.resizing import resize_image
from unet.imagery.saving import kept_bands, save_image


def fit(shape, side, keep_aspect):
    """Size to scale to, and rows and columns to add on each edge.

    Returns:
        (height, width), ((above, below), (left, right)).
    """
    if not keep_aspect:
        return (side, side), ((0, 0), (0, 0))
    size = [max(1, round(n * side / max(shape))) for n in shape]
    missing = [side - n for n in size]
    return tuple(size), tuple((n // 2, n - n // 2) for n in missing)


def pad(array, edges):
    """Fill up the edges by reflection."""
    (above, below), (left, right) = edges
    return cv2.copyMakeBorder(
        array, above, below, left, right, cv2.BORDER_REFLECT
    )


def convert(tree, classes, side, keep_aspect, sample):
    """Write one sample at the new size."""
    bands = kept_bands(sample.image)
    image = (bands or PICTURES).read(sample.image)
    size, edges = fit(image.shape[:2], side, keep_aspect)
    new = pad(resize_image(image, size), edges)
    # OpenCV drops a channel axis of length one.
    new = new.reshape(*new.shape[:2], -1)
    folder = tree / sample.name
    place = read_georeference(sample.image)
    if place:
        factors = np.divide(size, image.shape[:2])
        (above, _), (left, _) = edges
        place = place.scaled(*factors).moved(-above, -left)
    save_image(folder / "images", sample.name, new, place, bands)
    if sample.masks is None:
        return
    ids = read_class_ids(sample, classes, image.shape[:2])
    ids = pad(resize_ids(ids, size), edges)
    (folder / "masks").mkdir()
    for number, name in enumerate(classes, start=1):
        mask = ids == number
        if mask.any():
            place = folder / "masks"
            if classes != [DEFAULT_CLASS]:
                place = place / name
            write_png(place / f"{sample.name}_mask_1.png", mask)
    write_ignored(folder, ids == UNKNOWN)


def convert_or_refuse(tree, classes, side, keep_aspect, sample):
    """``convert``; returns what is wrong with the sample, or None."""
    try:
        convert(tree, classes, side, keep_aspect, sample)
    except DataError as error:
        # What is half there would pass for unlabelled.
        shutil.rmtree(tree / sample.name, ignore_errors=True)
        return str(error)


def main(args):
    samples, refused = usable_samples(args.tree)
    if not samples:
        raise DataError(refused[0])
    classes = class_names(samples)
    name = f"{args.tree.resolve().name}_{args.size}"
    out = args.out or Path("prepared") / name
    with new_tree(out, [args.tree], args.overwrite) as tree:
        how = args.size, args.keep_aspect
        job = partial(convert_or_refuse, tree, classes, *how)
        with ThreadPoolExecutor(usable_cores()) as pool:
            results = pool.map(job, samples)
            progress = cli.progress_bar(args.quiet)
            errors = list(progress(results, len(samples), "Resizing"))
        refused += filter(None, errors)
        count = errors.count(None)
        if not count:
            raise DataError(refused[0])
        if classes != [DEFAULT_CLASS]:
            write_text(tree / CLASSES, "\n".join(classes) + "\n")
    print(
        f"{count} images of {args.size} x {args.size} pixels -> "
        f"{cli.short_path(out)}"
    )
    cli.end_with(refused)


if __name__ == "__main__":
    main(args)
