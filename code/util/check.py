"""A data set and what is wrong with it, before anything is trained."""

from pathlib import Path

from unet.terminal import cli, reading_options


def read_arguments():
    parser = cli.new_parser(
        "The result is a list of what is wrong with a data set, each with "
        "its reason and what mends it, in the terminal, in OUT/report.html "
        "(with pictures) and in OUT/findings.csv. Nothing is changed. The "
        "exit code is 1 if something was found.",
        [
            "python code/util/check.py",
            "python code/util/check.py data/raw/images data/raw/annotations "
            "--overwrite",
            "python code/util/check.py data/train --fix prepared/mended "
            "--overwrite",
        ],
    )
    add = parser.add_argument
    add(
        "data",
        nargs="?",
        type=Path,
        default=cli.DATA,
        help="directory with train/ and test/, or of Folder_n folders; or "
        "images, with annotations behind it",
    )
    add(
        "annotations",
        nargs="*",
        type=Path,
        help="files, or directories of files, of any format that "
        "polygon_to_mask.py reads",
    )
    reading_options.add_rules(parser)
    add(
        "--specks",
        type=cli.number(int, 0),
        default=8,
        metavar="N",
        help="objects of fewer pixels are findings",
    )
    add(
        "--fix",
        type=Path,
        metavar="OUT",
        help="also write a copy in which is mended what needs no guess",
    )
    add(
        "--out",
        type=Path,
        default=Path("prepared") / "check",
        help="directory for the report",
    )
    add("--overwrite", action="store_true", help="replace the results")
    add("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args()


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args = read_arguments()

import sys
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager

from unet.annotations.rules import NO_RULES
from unet.files import splits
from unet.files.atomic import new_entries, new_tree, write_text
from unet.files.errors import DataError, printable
from unet.files.folders import CLASSES, class_order
from unet.inspection.items import in_order
from unet.inspection.kinds import KINDS
from unet.inspection.listing import raw_items, tree_items
from unet.inspection.mending import mend
from unet.inspection.whole_set import check

_MOST = 8  # findings of a kind that are named in the terminal


def list_items(args):
    """(items, findings) of what the command line names."""
    if args.annotations:
        rules = reading_options.rules_of(args, [args.data, *args.annotations])
        return raw_items(args.data, args.annotations, args.format, rules)
    if args.format or reading_options.rules_of(args) != NO_RULES:
        raise DataError(
            f"{args.data}: expected annotations behind it, as options say how "
            "to read them, found none. Give check.py IMAGES ANNOTATIONS."
        )
    train, test = splits.find_sides(args.data)
    items, findings = tree_items(train, "train" if test else "")
    if test:
        more, others = tree_items(test, "test")
        items, findings = items + more, findings + others
    return items, findings


@contextmanager
def open_trees(args, items):
    """The directories that the mended copy is written to, by side."""
    inputs, order = [args.data, *args.annotations], class_order(args.data)
    sides = sorted({item.side for item in items}, reverse=True)
    if sides == [""]:
        with new_tree(args.fix, inputs, args.overwrite) as tree:
            yield {"": tree}
            write_class_order(tree, order)
    elif sides:
        names = [*sides, CLASSES]
        with new_entries(args.fix, names, inputs, args.overwrite) as place:
            for side in sides:
                (place / side).mkdir()
            yield {side: place / side for side in sides}
            write_class_order(place, order)
    else:
        yield {}


def write_class_order(tree, order):
    """Write the order of classes, where there is one."""
    if order:
        write_text(tree / CLASSES, "\n".join(order) + "\n")


def print_mended(result, out):
    """What became of the samples."""
    print(f"\n{result.written} images -> {cli.short_path(out)}")
    for kind, count in result.done.items():
        print(f"  mended: {KINDS[kind].title}: {count}")
    for kind, count in Counter(
        finding.kind for finding in result.unmended
    ).items():
        print(f"  as it was: {KINDS[kind].title}: {count}")
    for name, reason in result.left_out:
        print(f"  left out: {printable(name)}: {printable(reason)}")


def print_findings(findings, exams):
    """The table, then every kind with its files."""
    groups = defaultdict(list)
    for finding in findings:
        groups[finding.kind].append(finding)
    images = f"{len(exams)} images"
    if not findings:
        print(f"{images}, nothing found")
        return
    print(f"{images}; findings: {len(findings)}, kinds: {len(groups)}\n")
    wide = max(map(len, groups))
    for kind, members in groups.items():
        names = list(dict.fromkeys(finding.place for finding in members))
        more = ", ..." if len(names) > 3 else ""
        named = ", ".join(names[:3]) + more
        print(f"  {kind:{wide}} {len(members):6}  {printable(named)}")
    for kind, members in groups.items():
        about = KINDS[kind]
        print(f"\n{kind}: {about.title}. Why it hurts: {about.why}.")
        for finding in members[:_MOST]:
            place = cli.short_path(finding.path)
            detail = printable(finding.detail)
            print(f"  {place}: {detail}. {about.mend}")
        if len(members) > _MOST:
            print(f"  and {len(members) - _MOST} more, all in the report")


def main(args):
    progress = cli.progress_bar(args.quiet)
    names = ["report.html", "findings.csv", "data.png"]
    with ExitStack() as stack:
        # First, so that a bad place is refused before the work is done.
        out = stack.enter_context(
            new_entries(args.out, names, [], args.overwrite)
        )
        report, table, plots = (out / name for name in names)
        items, findings = list_items(args)
        trees = args.fix and stack.enter_context(open_trees(args, items))
        exams, more = check(args.data, items, args.specks, progress)
        findings = in_order(findings + more)
        print_findings(findings, exams)
        # Draws: slow to import, and an empty directory needs none.
        from unet.inspection.report import write_report, write_table

        write_table(findings, table)
        write_report(args.data, exams, findings, report, plots, progress)
        print(f"\nreport: {cli.short_path(args.out / report.name)}")
        if trees:
            result = mend(exams, findings, trees, args.specks, progress)
            print_mended(result, args.fix)
    count = sum(KINDS[finding.kind].fixed for finding in findings)
    if count and not args.fix:
        print(f"{count} of the findings can be mended: give --fix OUT")
    if findings:
        sys.exit(1)


if __name__ == "__main__":
    main(args)
