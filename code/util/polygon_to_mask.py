"""Images and annotations to a tree of folders with one mask per instance."""

from pathlib import Path

from unet.terminal import cli, reading_options


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
    add = parser.add_argument
    add(
        "--classes",
        metavar="A,B,...",
        help="keep these classes only, in this order (default: all)",
    )
    add(
        "--rename",
        metavar="OLD=NEW,...",
        help="rename classes, for instance bina=building",
    )
    add(
        "--components",
        action="store_true",
        help="divide complete masks into objects: their connected parts",
    )
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
    ClassChoice,
    choose_classes,
    draw_folders,
    listed_counts,
    write_class_list,
)
from unet.annotations.pairing import ProblemKind, looks_swapped, pair
from unet.files.atomic import new_tree
from unet.files.errors import DataError
from unet.files.folders import natural


def renames(text, option):
    """``a=b,c=d`` as a dict."""
    parts = [part.split("=") for part in (text or "").split(",") if part]
    if any(len(part) != 2 or not all(part) for part in parts):
        raise DataError(f"{option} {text}: expected OLD=NEW,OLD=NEW.")
    return {old.strip(): new.strip() for old, new in parts}


def stop_or_leave_out(pairs, problems):
    """The problems of images that are not there: their annotations wait.

    Raises:
        DataError: none is there, or no file can be read.
    """
    lost = [p for p in problems if p.kind == ProblemKind.NO_IMAGE]
    unread = [p for p in problems if not p.names]
    if (unread or lost) and not any(known.source for known in pairs):
        raise DataError((unread or lost)[0].sentence)
    return lost


def class_choice(args, rules):
    """What the options say of classes."""
    wanted = (args.classes or "").split(",")
    return ClassChoice(
        wanted=tuple(name.strip() for name in wanted if name.strip()),
        renamed=renames(args.rename, "--rename"),
        order=tuple((rules.colours or {}).values()),
        named=bool(args.attribute),
    )


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
    lost = stop_or_leave_out(pairs, problems)
    annotations = [known.annotation for known in pairs if known.annotation]
    choice = class_choice(args, rules)
    chosen = choose_classes(annotations, choice)
    unusable = {
        p.names[0]: p.sentence for p in problems if p.names and p not in lost
    }
    unread = [p.sentence for p in problems if not p.names]
    usable = [
        known
        for known in pairs
        # A file that cannot be read may annotate what seems unlabelled.
        if known.name not in unusable and (known.annotation or not unread)
    ]
    unseen = len(pairs) - len(usable) - len(unusable)
    usable.sort(key=lambda known: natural(known.name))
    with new_tree(
        args.out, [args.images, *args.annotations], args.overwrite
    ) as tree:
        results = draw_folders(
            tree, usable, chosen.classes, rules, args.components
        )
        drawn = list(progress(results, len(usable), "Drawing masks"))
        unusable |= {image.name: image.error for image in drawn if image.error}
        refused = [unusable[name] for name in sorted(unusable, key=natural)]
        drawn = [image for image in drawn if not image.error]
        if not drawn:
            raise DataError(refused[0])
        write_class_list(tree, chosen.classes)
    report(drawn, lost, args.out)
    report_ignored(drawn, chosen.ignored)
    if unread and unseen:
        print(f"  left out: {unseen} images that no readable file annotates")
    report_classes(chosen, choice.wanted)
    cli.end_with([*refused, *unread])


def report(drawn, lost, out):
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
    for problem in lost:
        print(f"  left out: {problem.sentence}")
    for repair, count in sorted(repairs.items()):
        print(f"  repaired: {repair}: {count}")


def report_ignored(drawn, objects):
    """Print what counts nowhere, if anything does.

    Args:
        drawn: list of ``DrawnImage``.
        objects: number of annotated ones among it.
    """
    pixels = sum(image.ignored for image in drawn)
    if not pixels:
        return
    share = pixels / sum(image.pixels for image in drawn)
    images = sum(image.ignored > 0 for image in drawn)
    print(
        f"  ignored: {pixels} pixels ({share:.1%}) of {images} images, "
        f"{objects} objects: they count in no training and in no score"
    )


def report_classes(chosen, wanted):
    """Print which classes there are, where that is not obvious."""
    counts = chosen.counts
    if len(chosen.classes) > 1 or chosen.left_out or wanted:
        counted = ", ".join(
            f"{name} ({counts[name]})" for name in chosen.classes
        )
        print(f"  classes: {counted}")
    if chosen.left_out:
        print("  classes left out: " + listed_counts(chosen.left_out))
    absent = [name for name in wanted if name not in counts]
    if absent:
        print(f"  classes that no annotation has: {', '.join(absent)}")
    colours = [
        name.removeprefix("#") for name in chosen.classes if name[0] == "#"
    ]
    if len(colours) > 1:
        named = ",".join(f"{colour}=NAME" for colour in colours)
        print(f"  to name the colours: --colours {named}")


if __name__ == "__main__":
    main(args)
