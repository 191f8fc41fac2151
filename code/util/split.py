"""A tree of folders to train/ and test/, with nothing on both sides."""

from pathlib import Path

from unet.terminal import cli


def read_arguments():
    parser = cli.new_parser(
        "The result is OUT/train and OUT/test with a copy of every folder, "
        "and OUT/split.csv that says what lies where. An image that comes "
        "again on the other side, the same or nearly so, is refused.",
        [
            "python code/util/split.py",
            "python code/util/split.py data/train --test 0.2 --seed 3 "
            "--out prepared/again",
            "python code/util/split.py prepared/folders "
            "--group '^(.+)_[0-9]+$' --out prepared/areas",
        ],
    )
    add = parser.add_argument
    add(
        "trees",
        nargs="*",
        type=Path,
        default=[cli.DATA / "train", cli.DATA / "test"],
        help="directories of Folder_n folders",
    )
    add(
        "--test",
        type=cli.number(float, 0, 1),
        default=0.3,
        help="share of the images for testing",
    )
    add("--seed", type=cli.number(int, 0), default=0, help="of the choice")
    add(
        "--group",
        metavar="RULE",
        help="what must stay on one side: a regular expression searched in "
        "folder names (its first bracket is the group), or a CSV with the "
        "columns name and group",
    )
    add(
        "--from",
        dest="given",
        type=Path,
        metavar="CSV",
        help="a given split, columns name and split (train or test); "
        "--group is then only noted, for choosing validation folders",
    )
    add(
        "--others",
        choices=["train", "test"],
        help="side of folders that the table of --from does not name "
        "(without it they are refused)",
    )
    add("--link", action="store_true", help="symbolic links, not copies")
    add(
        "--out",
        type=Path,
        default=Path("prepared") / "split",
        help="directory to make train/ and test/ in",
    )
    add("--overwrite", action="store_true", help="replace train/ and test/")
    add("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args()


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args = read_arguments()

import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import compress

import numpy as np
import pandas as pd

from unet.files.atomic import new_entries, write_text
from unet.files.cores import usable_cores
from unet.files.csv_tables import read_table
from unet.files.errors import DataError
from unet.files.folders import CLASSES, class_order, usable_samples
from unet.files.splits import group_names, take_groups
from unet.imagery.copies import fingerprint, near_copies
from unet.imagery.reading import read_image


def collect(trees):
    """The samples of all trees, and what is wrong with others.

    The names of samples must differ.
    """
    samples, refused, seen = [], [], {}
    for found, wrong in map(usable_samples, trees):
        samples += found
        refused += wrong
    for sample in samples:
        if sample.name in seen:
            raise DataError(
                f"{sample.image}: there is another folder {sample.name} "
                f"({seen[sample.name].image}). Rename one of them."
            )
        seen[sample.name] = sample
    if not samples:
        raise DataError(refused[0])
    return samples, refused


def sides_from(path, names, others):
    """Read a given split: bool array, one per name, True for test.

    Args:
        path: the table.
        names: of the folders.
        others: side of those that it does not name; None refuses them.
    """
    table = read_table(path, ["name", "split"])
    sides = dict(zip(table["name"], table["split"], strict=True))
    for name in names:
        side = sides.setdefault(name, others)
        if side not in ("train", "test"):
            raise DataError(
                f"{path}: expected train or test for {name}, found "
                f"{'no row' if side is None else repr(side)}. Complete the "
                "table, or give --others."
            )
    return np.array([sides[name] == "test" for name in names])


def looks_of(samples, progress):
    """What each sample's image looks like, or the error in it."""

    def look(sample):
        try:
            return fingerprint(read_image(sample.image))
        except DataError as error:
            return error

    with ThreadPoolExecutor(usable_cores()) as pool:
        results = pool.map(look, samples)
        return list(progress(results, len(samples), "Comparing images"))


def copies_across(samples, prints, is_test):
    """Pairs of sample names, one of each side, whose images look the same."""
    pairs = [(i, j) for i, j in near_copies(prints) if is_test[i] != is_test[j]]
    return [
        (samples[j].name, samples[i].name)
        if is_test[i]
        else (samples[i].name, samples[j].name)
        for i, j in pairs
    ]


def refuse_copies(pairs):
    """Raise DataError if there is any pair."""
    if pairs:
        named = ", ".join(f"{a} = {b}" for a, b in pairs[:10])
        more = f" and {len(pairs) - 10} more" if len(pairs) > 10 else ""
        raise DataError(
            "the same or nearly the same image would lie in train and in "
            f"test ({len(pairs)} pairs, train = test): {named}{more}. Remove "
            "one of each, or put both in one group with --group."
        )


def main(args):
    table_path = args.out / "split.csv"
    if args.given and args.given.resolve() == table_path.resolve():
        raise DataError(
            f"{args.given}: is the given split and would be replaced. Give "
            "another --out."
        )
    # First, so that a bad place is refused before the work is done.
    names = ["train", "test", "split.csv", CLASSES]
    with new_entries(args.out, names, args.trees, args.overwrite) as out:
        table, refused = divide(args, out)
    is_test = table.split == "test"
    print(
        f"{(~is_test).sum()} train, {is_test.sum()} test, "
        f"{table.group.nunique()} groups -> {cli.short_path(args.out)}"
    )
    both = set(table.group[is_test]) & set(table.group[~is_test])
    if both:
        print(f"  {len(both)} groups lie on both sides, as {args.given} says")
    cli.end_with(refused)


def choose(args, samples):
    """Names and groups of samples, and which of them are for testing."""
    names = [sample.name for sample in samples]
    groups = group_names(names, args.group)
    if args.given:
        is_test = sides_from(args.given, names, args.others)
    else:
        is_test = take_groups(groups, args.test, args.seed)
    if is_test.all() or not is_test.any():
        raise DataError(
            f"{args.given or f'--test {args.test:g}'}: leaves one side empty "
            f"({len(names)} images, {len(set(groups))} groups). Use finer "
            "groups, more images or another split."
        )
    return names, groups, is_test


def divide(args, out):
    """Write both sides and the table of them.

    Returns:
        (the table, what is wrong with samples that are left out).
    """
    samples, refused = collect(args.trees)
    # Before the images are read, which takes time.
    names, groups, is_test = choose(args, samples)
    progress = cli.progress_bar(args.quiet)
    looks = looks_of(samples, progress)
    errors = [str(look) for look in looks if isinstance(look, DataError)]
    if errors:
        if len(errors) == len(samples):
            raise DataError(errors[0])
        good = [not isinstance(look, DataError) for look in looks]
        samples, looks = compress(samples, good), compress(looks, good)
        samples, looks = list(samples), list(looks)
        names, groups, is_test = choose(args, samples)
    refuse_copies(copies_across(samples, looks, is_test))
    sides = np.where(is_test, "test", "train")
    for side in ("train", "test"):
        (out / side).mkdir()
    pairs = zip(samples, sides, strict=True)
    for sample, side in progress(pairs, len(samples), "Copying"):
        place(sample, out / side / sample.name, args.link)
    table = pd.DataFrame({"name": names, "split": sides, "group": groups})
    table.to_csv(out / "split.csv", index=False)
    order = class_order(args.trees[0])
    if order:
        write_text(out / CLASSES, "\n".join(order) + "\n")
    return table, [*refused, *errors]


def place(sample, target, link):
    """Copy or link a sample's folder."""
    source = sample.image.parents[1].resolve()
    if link:
        target.symlink_to(source)
    else:
        shutil.copytree(source, target)


if __name__ == "__main__":
    main(args)
