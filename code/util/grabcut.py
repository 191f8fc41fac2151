"""Boxes and rough polygons to polygons that fit the objects."""

from pathlib import Path

from unet.annotations.formats import WRITERS
from unet.terminal import cli, reading_options


def read_arguments():
    parser = cli.new_parser(
        "The result is OUT/NAME.json per image, with polygons to correct in "
        "labelme: every box or rough polygon tightened to the object in it by "
        "GrabCut, or kept as drawn where the image does not tell object from "
        "ground; and OUT/overlays/NAME.png to look at, white as drawn and "
        "pink as tightened.",
        [
            "python code/util/grabcut.py",
            "python code/util/grabcut.py data/raw/images data/raw/annotations "
            "--format-out coco --out prepared/coco",
        ],
    )
    reading_options.add_sources(parser)
    add = parser.add_argument
    add(
        "--format-out",
        choices=WRITERS,
        default="labelme",
        help="of the result",
    )
    add(
        "--out",
        type=Path,
        default=Path("prepared") / "tightened",
        help="output directory",
    )
    add("--overwrite", action="store_true", help="replace what is in --out")
    add("--quiet", action="store_true", help="no progress bar")
    return reading_options.read(parser)


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args = read_arguments()

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from unet.annotations.pairing import ProblemKind, pair
from unet.annotations.writing import AnnotatedImage
from unet.files.claims import claim
from unet.files.cores import usable_cores
from unet.files.errors import DataError
from unet.files.folders import DEFAULT_CLASS, IGNORE, natural
from unet.geometry.grabcut import tighten
from unet.geometry.instances import Instance
from unet.geometry.polygons import as_polygons
from unet.imagery.png import write_png
from unet.imagery.reading import read_image
from unet.pictures.outlines import with_outlines

DRAWN, TIGHTENED = (255, 255, 255), (230, 60, 150)


def read(args, rules, progress):
    """Read annotations and pair them with their images.

    Returns:
        (list of ``Pair``, number of images without annotation, list of
        ``Problem``: annotations of images that are not there, list of
        sentences: what is wrong with others).

    Raises:
        DataError: no annotated image is there that can be used.
    """
    pairs, problems = pair(
        args.images,
        args.annotations,
        args.format,
        rules,
        progress,
        embedded=False,
    )
    annotated = [known for known in pairs if known.annotation]
    names = {known.name for known in annotated}
    unlabelled = len(pairs) - len(annotated)
    lost = [p for p in problems if p.kind == ProblemKind.NO_IMAGE]
    refused = []
    for problem in problems:
        # Two images that nobody annotated do no harm.
        several = problem.kind == ProblemKind.SEVERAL_IMAGES
        harmless = several and problem.names[0] not in names
        if not harmless and problem not in lost:
            refused.append(problem.sentence)
            annotated = [k for k in annotated if k.name not in problem.names]
    if not annotated and (refused or lost):
        raise DataError([*refused, *(p.sentence for p in lost)][0])
    if not annotated:
        raise DataError(
            f"{args.annotations[0]}: expected annotations of images in "
            f"{args.images}, found none. Give the images that were annotated."
        )
    return annotated, unlabelled, lost, refused


def tighten_object(image, instance):
    """``tighten``; what is ignored stays as it is drawn."""
    if instance.label == IGNORE:
        return None
    return tighten(image, instance.geometry)


def tightened(pairs, rules, writer, overlays, refused):
    """Tighten, and write every image's polygons and overlay.

    What is wrong with an image is added to ``refused``.

    Yields:
        For every instance whether it was tightened, or kept as drawn.
    """
    with ThreadPoolExecutor(usable_cores()) as pool:
        for known in sorted(pairs, key=lambda known: natural(known.name)):
            try:
                image = read_image(
                    known.image, rules.bands, rules.limits.pixels
                )
                known.annotation.check_size(image.shape[:2])
            except DataError as error:
                refused.append(str(error))
                continue
            shape = image.shape[:2]
            drawn = [
                polygon
                for instance in known.annotation.instances
                for polygon in as_polygons(instance, shape)
            ]
            before = [polygon.geometry for polygon in drawn]
            after, result = [], pool.map(partial(tighten_object, image), drawn)
            for polygon, geometry in zip(drawn, result, strict=True):
                after.append(geometry or polygon.geometry)
                yield geometry is not None
            instances = [
                Instance(geometry, polygon.label or DEFAULT_CLASS)
                for polygon, geometry in zip(drawn, after, strict=True)
            ]
            writer.add(
                AnnotatedImage(known.name, known.image, shape, instances)
            )
            layers = [(before, DRAWN), (after, TIGHTENED)]
            write_png(overlays[known.name], with_outlines(image, layers))


def check_files(files, sources):
    """Raise DataError for a result that would replace an input."""
    places = {file.resolve() for file in files}
    for source in sources:
        if source.resolve() in places:
            raise DataError(
                f"{source}: the result would replace its own input. Give "
                "another --out."
            )


def main(args):
    progress = cli.progress_bar(args.quiet)
    rules = reading_options.rules_of(args, [args.images, *args.annotations])
    pairs, unlabelled, lost, refused = read(args, rules, progress)
    instances = [
        instance for known in pairs for instance in known.annotation.instances
    ]
    classes = {instance.label or DEFAULT_CLASS for instance in instances}
    writer = WRITERS[args.format_out](args.out, sorted(classes))
    place = args.out / "overlays"
    overlays = {known.name: place / f"{known.name}.png" for known in pairs}
    files = [*writer.files(overlays), *overlays.values()]
    check_files(
        files, [path for known in pairs for path in (known.source, known.image)]
    )
    with claim(args.out, files, args.overwrite):
        before = len(refused)
        results = tightened(pairs, rules, writer, overlays, refused)
        count = Counter(progress(results, len(instances), "Tightening"))
        written = len(pairs) - (len(refused) - before)
        if not written:
            raise DataError(refused[0])
        writer.close()
    print(f"{written} images -> {cli.short_path(args.out)}")
    print(f"  {count[True]} instances tightened, {count[False]} kept as drawn")
    if unlabelled:
        print(f"  {unlabelled} images without annotation, left out")
    for problem in lost:
        print(f"  left out: {problem.sentence}")
    report(pairs)
    cli.end_with(refused)


def report(pairs):
    """Print what was mended in reading."""
    repairs = sum((known.annotation.repairs for known in pairs), Counter())
    for repair, count in sorted(repairs.items()):
        print(f"  repaired: {repair}: {count}")


if __name__ == "__main__":
    main(args)
