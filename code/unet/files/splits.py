"""Which samples train, validate and test: sides, and groups that stay whole."""

import re
from collections import Counter
from functools import lru_cache

import numpy as np

from unet.files.blocks import Groups, block_names, named_footprints, sharing
from unet.files.csv_tables import read_table
from unet.files.errors import DataError
from unet.files.folders import natural


def find_sides(root):
    """The training and the test directory of a data directory.

    Returns:
        (train, test); test is None where there is none. A directory without
        train/ is training data itself.
    """
    train, test = root / "train", root / "test"
    if not train.is_dir():
        return root, None
    return train, test if test.is_dir() else None


def recorded_groups(root):
    """The table of groups that split.py wrote beside train/, or None."""
    path = root / "split.csv"
    return path if path.exists() else None


# How many choices of validation groups are tried.
_CHOICES = 100
# Column of split.csv with the other groups whose ground a tile shows as well,
# and what lies between two: no name of a file has it.
NEAR, BETWEEN = "near", "/"


def group_names(names, rule=None):
    """The group of every sample: what must stay on one side of a split.

    Args:
        names: sample names.
        rule: None (every sample is its own group, and tiles of scenes are in
            groups by blocks of ground), a CSV file with the columns ``name``
            and ``group`` (or ``area``), or a regular expression searched in
            each name: its first bracket is the group, without brackets the
            whole match.

    Returns:
        ``Groups``, one string per name.

    Raises:
        DataError: the rule is neither, or gives a name no group.
    """
    footprints = named_footprints(names)
    near = {}
    if rule is None:
        groups = _own_or_block(names, footprints)
    elif str(rule).lower().endswith(".csv"):
        groups, near = _groups_in_table(rule)
    else:
        groups = _groups_in_names(names, rule)
    missing = [name for name in names if groups.get(name) is None]
    if missing:
        raise DataError(
            f"{rule}: gives no group to {len(missing)} of {len(names)} "
            f"samples, the first is {missing[0]}."
        )
    result = Groups([groups[name] for name in names], sharing(footprints))
    for name, others in zip(names, result.near, strict=True):
        others |= near.get(name, set())
    return result


def _own_or_block(names, footprints):
    """Dict from a name to itself, or to the block of ground of a tile."""
    tiles = [f for f in footprints if f is not None]
    blocks = iter(block_names(tiles) if tiles else ())
    return {
        name: name if footprint is None else next(blocks)
        for name, footprint in zip(names, footprints, strict=True)
    }


def _groups_in_table(path):
    """(dict from a name to its group, the same to other groups' names)."""
    table = read_table(path, ["name"])
    column = "group" if "group" in table else "area"
    if column not in table:
        raise DataError(
            f"{path}: expected a column 'group' (or 'area'), found "
            f"{', '.join(table.columns)}."
        )
    near = table[NEAR] if NEAR in table else [""] * len(table)
    return (
        dict(zip(table["name"], table[column], strict=True)),
        {
            name: {group for group in text.split(BETWEEN) if group}
            for name, text in zip(table["name"], near, strict=True)
        },
    )


def _groups_in_names(names, rule):
    """Dict from a name to what a regular expression takes from it."""
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise DataError(
            f"{rule!r}: expected a regular expression or a CSV file "
            f"for the groups: {error}."
        ) from None
    matches = {name: pattern.search(name) for name in names}
    return {
        name: match and match.group(1 if pattern.groups else 0)
        for name, match in matches.items()
    }


@lru_cache(maxsize=1)  # a hundred choices are made from the same groups
def _in_order(groups):
    """A frozenset of group names, as people sort them."""
    return sorted(groups, key=lambda name: (natural(name), name))


def shuffled_groups(groups, seed):
    """Distinct group names in a seeded random order."""
    distinct = list(_in_order(frozenset(groups)))
    np.random.default_rng(seed).shuffle(distinct)
    return distinct


def take_groups(groups, share, seed):
    """Choose whole groups until they hold about a share of the samples.

    A group that would overshoot the share by more than it fills is left out,
    so that one large area does not swallow the training data; if all are too
    large the smallest is taken.

    Args:
        groups: one group per sample.
        share: wanted share of the samples, 0 to 1.
        seed: of the order in which groups are tried.

    Returns:
        bool array, one per sample: taken or not.
    """
    sizes = Counter(groups)
    wanted = share * len(groups)
    taken, count = set(), 0
    for group in shuffled_groups(groups, seed):
        if sizes[group] < 2 * (wanted - count):
            taken.add(group)
            count += sizes[group]
    if wanted > 0 and not taken:
        taken = {min(sorted(sizes), key=sizes.get)}
    return np.array([group in taken for group in groups])


def spread(items, most):
    """At most so many items, evenly spread over the list."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).astype(int)]


def split_validation(groups, share, has_object, traits):
    """Choose the rows that validate, whole groups at a time.

    Of many random choices the one is taken that is most like the whole: one
    group more or less decides whether the dense town is among the validation
    images, and without it they tell nothing about the town. The choice is the
    same for every seed of a training, so that runs can be compared. Both sides
    get something to find, if that is possible: without it the IoU of the
    validation could not improve.

    Args:
        groups: one group per row, perhaps as ``Groups``.
        share: of the rows.
        has_object: bool array, one per row.
        traits: float array, rows x traits, of ``Dataset.traits``.

    Returns:
        (training rows, validation rows): int arrays. Tiles that share ground
        with those that validate are in neither.

    Raises:
        DataError: one side would be left with nothing, or nothing to find.
    """
    if not isinstance(groups, Groups):
        groups = Groups(groups)
    drawn = [take_groups(groups, share, seed) for seed in range(_CHOICES)]
    choices = [
        rows
        for rows in drawn
        if has_object[rows].any()
        and has_object[~rows & ~groups.beside(rows)].any()
    ]
    if not choices:
        count, sides = int(has_object.sum()), len(set(groups))
        cause = (
            "too few images have an object" if count < 2 else "too few groups"
        )
        raise DataError(
            f"{cause}: expected images with objects to learn from and others "
            f"to validate (validation {share:g}), found {count} with objects "
            f"among {len(groups)} images in {sides} group(s). Add images or "
            "masks, or use finer groups."
        )
    spread = traits.std(axis=0) + 1e-9
    away = [(traits[rows].mean(axis=0) - traits.mean(axis=0)) / spread
            for rows in choices]  # fmt: skip
    validates = choices[np.square(away).sum(axis=1).argmin()]
    trains = ~validates & ~groups.beside(validates)
    return np.flatnonzero(trains), np.flatnonzero(validates)


def some_of(rows, count, seed):
    """A number of the rows, at random; smaller subsets lie within larger ones.

    Args:
        rows: int array.
        count: how many; None: all.
        seed: of the choice.
    """
    if count is None or count >= len(rows):
        return rows
    chosen = np.random.default_rng([seed, 1]).permutation(len(rows))[:count]
    return rows[np.sort(chosen)]
