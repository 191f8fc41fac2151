"""The options that say how images and annotations are read."""

from pathlib import Path

from unet.annotations.formats import FORMATS
from unet.annotations.rules import Limits, Rules
from unet.terminal.band_options import add_bands_to_read
from unet.terminal.cli import DATA, number


def add_sources(parser):
    """Add images, annotations, and how they are read; see ``add_rules``."""
    parser.add_argument(
        "images",
        nargs="?",
        type=Path,
        default=DATA / "raw" / "images",
        help="directory of images, or one image",
    )
    parser.add_argument(
        "annotations",
        nargs="*",
        type=Path,
        default=[DATA / "raw" / "annotations"],
        help="files, or directories of files: the article's text (NAME.txt "
        "with [[x, y], ...], or lines NAME<tab or comma>[[x, y], ...]), "
        "labelme, COCO, VIA, Label Studio, CVAT, Pascal VOC, YOLO and GeoJSON "
        "files, tables of polygons, or complete masks called after their "
        "images",
    )
    add_rules(parser)


def read(parser):
    """Read a command line with ``add_sources``.

    The sample's annotations are for the sample's images alone: names of other
    images may be the same.
    """
    args = parser.parse_args()
    own = args.images is not parser.get_default("images")
    if own and args.annotations is parser.get_default("annotations"):
        parser.error(
            f"{args.images}: expected annotations behind the images, found "
            "none. Give IMAGES ANNOTATIONS, or neither for the sample data"
        )
    return args


def add_rules(parser):
    """Add what a user can say of images and annotations: see ``rules_of``."""
    group = parser.add_argument_group("how images and annotations are read")
    add = group.add_argument
    add(
        "--format",
        choices=FORMATS,
        help="of the annotations, where their content does not tell",
    )
    add(
        "--attribute",
        metavar="NAME",
        help="attribute, property or column that holds the class",
    )
    add(
        "--annotator",
        metavar="WHO",
        help="e-mail or number in Label Studio (default: who saved last)",
    )
    add("--image-column", metavar="NAME", help="of a table: names the image")
    add(
        "--polygon-column",
        metavar="NAME",
        help="of a table: holds the polygon; two for x and y: X,Y",
    )
    add(
        "--colours",
        metavar="TABLE",
        help="classes of complete masks: 3C1098=building,6EC1E4=road, or a "
        "table with the columns class and colour, or CVAT's labelmap.txt; the "
        "class ignore is none: its pixels count nowhere",
    )
    add(
        "--threshold",
        type=number(float, 0, 1),
        help="of grey complete masks: share of white from which on a pixel is "
        "the object",
    )
    add(
        "--mask-name",
        metavar="PATTERN",
        help="how complete masks are called after their images, for instance "
        "{name}_label (default: as their images, or found by the prefix or "
        "suffix that all of them share)",
    )
    add_bands_to_read(group)
    limits = parser.add_argument_group("bounds beyond which input is refused")
    for option, name, what in (
        ("--max-file", "mebibytes", "MiB of an annotation file"),
        ("--max-unpacked", "unpacked", "MiB of a spreadsheet, uncompressed"),
        ("--max-pixels", "pixels", "pixels of an image or a mask"),
        ("--max-points", "points", "points of all polygons of a file"),
    ):
        limits.add_argument(
            option,
            dest=name,
            type=number(int, 1),
            metavar="N",
            default=getattr(Limits, name),
            help=what,
        )


def rules_of(args, places=()):
    """What the options of ``add_rules`` say, as ``Rules``.

    Args:
        args: the options.
        places: files and directories that were given.
    """
    from unet.annotations.colours import parse_colours
    from unet.annotations.mask_names import MaskName

    return Rules(
        attribute=args.attribute,
        annotator=args.annotator,
        image_column=args.image_column,
        polygon_column=args.polygon_column,
        colours=parse_colours(args.colours) if args.colours else None,
        threshold=args.threshold,
        mask_name=args.mask_name and MaskName.parse(args.mask_name),
        bands=args.bands,
        directories=tuple(p if p.is_dir() else p.parent for p in places),
        limits=Limits(args.mebibytes, args.unpacked, args.pixels, args.points),
    )
