"""A tree of folders to train/ and test/, with nothing on both sides."""

import argparse
import re
from pathlib import Path

from unet.terminal import cli


def distance(text):
    """``300m`` or ``1024px`` as (300.0, "m")."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?) *(m|px)", text)
    if not match:
        raise argparse.ArgumentTypeError(
            f"expected metres or pixels, such as 300m or 1024px, found {text}"
        )
    return float(match[1]), match[2]


def read_arguments():
    parser = cli.new_parser(
        "The result is OUT/train and OUT/test with a copy of every folder, "
        "and OUT/split.csv that says what lies where. An image that comes "
        "again on the other side, the same or nearly so, is refused. Tiles "
        "of tile.py are divided by blocks of ground, which OUT/tiles.png "
        "shows.",
        [
            "python code/util/split.py",
            "python code/util/split.py data/train --test 0.2 --seed 3 "
            "--out prepared/again",
            "python code/util/split.py prepared/folders "
            "--group '^(.+)_[0-9]+$' --out prepared/areas",
            "python code/util/split.py prepared/tiles --blocks 256px "
            "--out prepared/blocks",
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
        "--blocks",
        type=distance,
        metavar="METRES|PIXELS",
        help="of tiles: side of the square blocks of ground that stay on one "
        "side, such as 300m or 1024px (default: four tiles, or fewer where "
        "there is little ground)",
    )
    add(
        "--margin",
        type=distance,
        metavar="METRES|PIXELS",
        help="of tiles: those nearer to a test tile are left out, such as "
        "20m or 64px (those that share ground with one always are)",
    )
    add(
        "--from",
        dest="given",
        type=Path,
        metavar="CSV",
        help="a given split, columns name and split (train or test, or "
        "margin: left out); "
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
    args = parser.parse_args()
    if (args.blocks or args.margin) and (args.group or args.given):
        parser.error("give --blocks and --margin without --group and --from")
    return args


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
from unet.files.blocks import Groups, block_names, sharing
from unet.files.cores import usable_cores
from unet.files.csv_tables import read_table
from unet.files.errors import DataError
from unet.files.folders import CLASSES, class_order, usable_samples
from unet.files.splits import BETWEEN, NEAR, group_names, take_groups
from unet.files.tile_names import tile_name
from unet.imagery.copies import fingerprint, near_copies
from unet.imagery.footprints import ground_of
from unet.imagery.reading import read_image

# Side of tiles that share ground with the test side, or are too near.
MARGIN = "margin"
PICTURE = "tiles.png"


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
    """Read a given split: array of texts, one per name.

    Args:
        path: the table.
        names: of the folders.
        others: side of those that it does not name; None refuses them.
    """
    table = read_table(path, ["name", "split"])
    sides = dict(zip(table["name"], table["split"], strict=True))
    for name in names:
        side = sides.setdefault(name, others)
        if side not in ("train", "test", MARGIN):
            raise DataError(
                f"{path}: expected train or test for {name}, found "
                f"{'no row' if side is None else repr(side)}. Complete the "
                "table, or give --others."
            )
    return np.array([sides[name] for name in names])


def looks_of(samples, progress):
    """What each sample's image looks like, or the error in it."""

    def look(sample):
        try:
            return fingerprint(read_image(sample.image, first=True))
        except DataError as error:
            return error

    with ThreadPoolExecutor(usable_cores()) as pool:
        results = pool.map(look, samples)
        return list(progress(results, len(samples), "Comparing images"))


def copies_across(samples, prints, sides):
    """Pairs of sample names, one of each side, whose images look the same.

    Tiles of one scene look the same where there is nothing but water or
    field, and are no copies.
    """
    tiles = [tile_name(sample.name) for sample in samples]
    scenes = [tile.scene if tile else k for k, tile in enumerate(tiles)]
    return [
        (samples[j].name, samples[i].name)
        if sides[i] == "test"
        else (samples[i].name, samples[j].name)
        for i, j in near_copies(prints)
        if {sides[i], sides[j]} == {"train", "test"} and scenes[i] != scenes[j]
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
    names = ["train", "test", "split.csv", CLASSES, PICTURE]
    with new_entries(args.out, names, args.trees, args.overwrite) as out:
        table, refused = divide(args, out)
    counts = table.split.value_counts()
    print(
        f"{counts['train']} train, {counts['test']} test, "
        f"{table.group.nunique()} groups -> {cli.short_path(args.out)}"
    )
    if MARGIN in counts:
        print(
            f"  {counts[MARGIN]} tiles left out: they share ground with test "
            "tiles, or are too near"
        )
    by_side = [set(table.group[table.split == s]) for s in ("train", "test")]
    both = set.intersection(*by_side)
    if both:
        print(f"  {len(both)} groups lie on both sides, as {args.given} says")
    if (args.out / PICTURE).exists():
        cli.show(args.out / PICTURE)
    cli.end_with(refused)


def choose(args, samples):
    """(groups, sides) of samples: ``Groups``, and an array of texts."""
    names = [sample.name for sample in samples]
    if args.given:
        groups = group_names(names, args.group)
        sides = sides_from(args.given, names, args.others)
    else:
        groups = groups_of(args, samples, names)
        is_test = take_groups(groups, args.test, args.seed)
        sides = np.where(is_test, "test", "train").astype(object)
        sides[groups.beside(is_test)] = MARGIN
    if not {"train", "test"} <= set(sides):
        raise DataError(
            f"{args.given or f'--test {args.test:g}'}: leaves one side empty "
            f"({len(names)} images, {len(set(groups))} groups). Use finer "
            "groups, more images or another split."
        )
    return groups, sides


def groups_of(args, samples, names):
    """The ``Groups`` of a new split: of tiles, blocks of ground."""
    others = [name for name in names if not tile_name(name)]
    if args.group or (others and not (args.blocks or args.margin)):
        return group_names(names, args.group)
    if others:
        raise DataError(
            f"{others[0]}: expected tiles of scenes, whose names say their "
            "place, found another folder. Leave --blocks and --margin out, or "
            "give tiles alone."
        )
    ground = ground_of(samples)
    side, margin = (
        length and in_unit(option, length, ground, names)
        for option, length in (
            ("--blocks", args.blocks),
            ("--margin", args.margin),
        )
    )
    blocks = block_names(ground.footprints, side)
    return Groups(blocks, sharing(ground.footprints, margin or 0.0))


def in_unit(option, length, ground, names):
    """A length in the unit of footprints: metres, or pixels of the scenes."""
    number, unit = length
    if ground.pixel is not None:
        return number if unit == "m" else number * ground.pixel
    if unit == "m":
        raise DataError(
            f"{option} {number:g}m: expected tiles with a place on the "
            f"ground, found others, such as {names[0]}. Give pixels: "
            f"{option} 1024px."
        )
    return number


def divide(args, out):
    """Write both sides and the table of them.

    Returns:
        (the table, what is wrong with samples that are left out).
    """
    samples, refused = collect(args.trees)
    # Before the images are read, which takes time.
    groups, sides = choose(args, samples)
    progress = cli.progress_bar(args.quiet)
    looks = looks_of(samples, progress)
    errors = [str(look) for look in looks if isinstance(look, DataError)]
    if errors:
        if len(errors) == len(samples):
            raise DataError(errors[0])
        good = [not isinstance(look, DataError) for look in looks]
        samples, looks = compress(samples, good), compress(looks, good)
        samples, looks = list(samples), list(looks)
        groups, sides = choose(args, samples)
    refuse_copies(copies_across(samples, looks, sides))
    for side in ("train", "test"):
        (out / side).mkdir()
    pairs = zip(samples, sides, strict=True)
    for sample, side in progress(pairs, len(samples), "Copying"):
        if side != MARGIN:
            place(sample, out / side / sample.name, args.link)
    names = [sample.name for sample in samples]
    columns = {"name": names, "split": sides, "group": groups}
    if any(groups.near):
        columns[NEAR] = [BETWEEN.join(sorted(near)) for near in groups.near]
    table = pd.DataFrame(columns)
    table.to_csv(out / "split.csv", index=False)
    from unet.pictures.tile_map import save_tile_map  # slow to import

    save_tile_map(out / PICTURE, samples, sides, progress)
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
