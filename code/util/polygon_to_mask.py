"""Images and annotations to a tree of folders with one mask per instance."""

from pathlib import Path

from unet.terminal import class_options, cli, reading_options


def read_arguments():
    parser = cli.new_parser(
        "The result is one folder per image, NAME/images/NAME.png and "
        "NAME/masks/NAME_mask_1.png, NAME_mask_2.png ... with one mask per "
        "instance: what split.py and train_unet.py read.",
        [
            "python code/util/polygon_to_mask.py",
            "python code/util/polygon_to_mask.py data/raw/images "
            "data/raw/annotations --out prepared/folders --overwrite",
        ],
    )
    reading_options.add_sources(parser)
    class_options.add(parser)
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        default=Path("prepared") / "folders",
        help="directory to make",
    )
    add("--overwrite", action="store_true", help="replace --out")
    add("--quiet", action="store_true", help="no progress bar")
    return reading_options.read(parser)


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args = read_arguments()

from collections import Counter

from unet.annotations.drawing import (
    choose_classes,
    draw_folders,
    write_class_list,
)
from unet.annotations.pairing import looks_swapped, pair
from unet.files.atomic import new_tree
from unet.files.errors import DataError
from unet.files.folders import natural


def main(args):
    rules = reading_options.rules_of(args, [args.images, *args.annotations])
    progress = cli.progress_bar(args.quiet)
    pairs, problems = pair(
        args.images, args.annotations, args.format, rules, progress
    )
    if looks_swapped(pairs, problems):
        raise DataError(
            f"{args.images}: images and masks seem to be swapped: what was "
            f"given as images has two values, and {args.annotations[0]} has "
            "more. Give the images first."
        )
    usable = class_options.usable_pairs(pairs, problems)
    annotations = [known.annotation for known in pairs if known.annotation]
    choice = class_options.choice_of(args, rules)
    chosen = choose_classes(annotations, choice)
    with new_tree(
        args.out, [args.images, *args.annotations], args.overwrite
    ) as tree:
        results = draw_folders(
            tree, usable.pairs, chosen.classes, rules, args.components
        )
        drawn = list(progress(results, len(usable.pairs), "Drawing masks"))
        refused = usable.refused | {
            image.name: image.error for image in drawn if image.error
        }
        refused = [refused[name] for name in sorted(refused, key=natural)]
        drawn = [image for image in drawn if not image.error]
        if not drawn:
            raise DataError(refused[0])
        write_class_list(tree, chosen.classes)
    report(drawn, usable, args.out)
    class_options.report_ignored(
        sum(image.ignored for image in drawn),
        sum(image.pixels for image in drawn),
        f"{sum(image.ignored > 0 for image in drawn)} images",
        chosen.ignored,
    )
    class_options.report(chosen, choice.wanted)
    cli.end_with([*refused, *usable.unread])


def report(drawn, usable, out):
    """Print what was made and what was mended."""
    counts = [image.count for image in drawn if image.count is not None]
    repairs = sum((image.repairs for image in drawn), Counter())
    print(
        f"{len(drawn)} images, {sum(counts)} instances -> {cli.short_path(out)}"
    )
    print(f"  {counts.count(0)} images with nothing on them (masks/ is empty)")
    if len(counts) > 1 and not any(counts):
        print(
            "  No annotation has an object: are all masks black, or is this "
            "another set?"
        )
    if len(counts) < len(drawn):
        print(f"  {len(drawn) - len(counts)} images without annotation")
    usable.report_left_out()
    for repair, count in sorted(repairs.items()):
        print(f"  repaired: {repair}: {count}")


if __name__ == "__main__":
    main(args)
