"""Variants of a training: what they are, what came out, as a table."""

import itertools
import re
import shlex
from dataclasses import dataclass

import numpy as np
import pandas as pd

from unet.files.errors import DataError

DEFAULT = "default"
# What a table has of each of several classes.
_OF_CLASSES = {"iou": "IoU", "boundary_iou": "boundary IoU"}
_SWITCHES = {"on": "--{}", "off": "--no-{}"}


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        name: what differs from the default, ``activation=relu``.
        words: of the command line of train_unet.py.
    """

    name: str
    words: tuple[str, ...]

    @property
    def options(self):
        """The words as one would type them."""
        return shlex.join(self.words)


def variants(varied, grid=False):
    """What is to be trained; the default always comes first.

    Args:
        varied: list of ``OPTION=A,B,...``. Spaces divide the words of a
            value; ``on`` and ``off`` are for switches.
        grid: every combination, not one option at a time.

    Returns:
        List of ``Variant``.

    Raises:
        DataError: a text is not of that form.
    """
    choices = [_choices(text) for text in varied]
    if grid and choices:
        choices = itertools.product(*choices)
    else:
        choices = [[choice] for option in choices for choice in option]
    made = [combined(parts) for parts in choices]
    return list(dict.fromkeys([Variant(DEFAULT, ()), *made]))


def _choices(text):
    """``activation=elu,relu`` as a list of variants of one option."""
    option, equals, values = text.partition("=")
    option = option.strip().removeprefix("--")
    values = [value.strip() for value in values.split(",") if value.strip()]
    if not option or not equals or not values:
        raise DataError(
            f"--vary {text}: expected OPTION=VALUE,VALUE, such as "
            "activation=elu,relu."
        )
    try:
        return [Variant(f"{option}={v}", _words(option, v)) for v in values]
    except ValueError as error:
        raise DataError(f"--vary {text}: {error}.") from None


def _words(option, value):
    if value in _SWITCHES:
        return (_SWITCHES[value].format(option),)
    return (f"--{option}", *shlex.split(value))


def combined(parts):
    """One variant of several."""
    name = ", ".join(part.name for part in parts)
    return Variant(name, tuple(w for part in parts for w in part.words))


def fewer_images(varied, counts):
    """Variants that learn from some of the images, for learning curves.

    Args:
        varied: list of ``Variant`` that have a curve, besides the default.
        counts: numbers of images.

    Returns:
        List of ``Variant``.
    """
    subsets = _choices(f"images={','.join(map(str, counts))}")
    rest = [variant for variant in varied if variant.name != DEFAULT]
    return subsets + [
        combined(pair) for pair in itertools.product(rest, subsets)
    ]


def without_images(name):
    """The name of the variant that learns from all images, of any."""
    return re.sub(r"(^|, )images=\d+$", "", name) or DEFAULT


def row_of(summary, log, level):
    """What a comparison keeps of a finished run.

    Args:
        summary: the run's summary.json.
        log: its log.csv, a ``pandas.DataFrame``.
        level: validation IoU whose first epoch is kept.

    Returns:
        dict of a line of runs.csv. IoU, interval and boundary IoU are means
        over the foreground classes; what no image could tell is NaN. Of
        several classes each has columns of its own, ``CLASS: iou``.
        ``seconds_an_epoch`` is the median, because the first epoch is longer.
    """
    scores, best = summary["scores"], summary["scores_at_best_threshold"]
    (monitor,) = [c for c in log if c.startswith("val_") and c.endswith("_iou")
                  and c != "val_mean_iou"]  # fmt: skip
    curve = " ".join(f"{value:.4f}" for value in log[monitor])
    return {
        "iou": _mean(scores, "iou"),
        **_interval(scores, "iou"),
        "threshold": summary["best_threshold"],
        "iou_at_threshold": _mean(best, "iou") if best else None,
        "mean_iou": scores["mean_iou"],
        "cross_entropy": scores["cross_entropy"],
        "boundary_iou": _mean(scores, "boundary_iou"),
        "object_f1": _mean(scores, "object_f1"),
        **_interval(scores, "object_f1"),
        "validation_iou": _mean(summary["validation"], "iou"),
        "epochs": summary["epochs"],
        "best_epoch": summary["best_epoch"],
        "level": level,
        "epochs_to_level": epochs_to(curve, level),
        "seconds_an_epoch": log["seconds"].median(),
        "weights": summary["weights"],
        "images": summary["images"]["training"],
        "curve": curve,
        **_by_class(scores["classes"]),
    }


def _by_class(classes):
    """Scores of each of several classes, as columns."""
    if len(classes) == 1:
        return {}
    columns = {}
    for name, score in classes.items():
        alone = {"classes": {name: score}}
        for key in _OF_CLASSES:
            own = {key: score[key], **_interval(alone, key)}
            columns |= {f"{name}: {part}": v for part, v in own.items()}
    return columns


def _interval(scores, key):
    """Both ends of an interval, means over the classes, as columns."""
    ends = [score.get(f"{key}_interval") for score in _classes(scores)]
    low, high = zip(*(pair or [None] * 2 for pair in ends), strict=True)
    return {f"{key}_low": _mean_of(low), f"{key}_high": _mean_of(high)}


def epochs_to(curve, level):
    """Epochs until a validation IoU reaches a level, or None if it never does.

    Args:
        curve: a value for each epoch, as text.
    """
    passed = np.flatnonzero(numbers_of(curve) >= level)
    return int(passed[0]) + 1 if len(passed) else None


def numbers_of(curve):
    return np.array(str(curve).split(), float)


def _classes(scores):
    return scores["classes"].values()


def _mean(scores, key):
    return _mean_of([score[key] for score in _classes(scores)])


def _mean_of(values):
    """Mean of what is not None."""
    return float(pd.Series(values, dtype=float).mean())


def jobs_left(made, seeds, runs):
    """What remains to be trained, all variants of a seed before the next.

    Args:
        made: list of ``Variant``, the default first.
        seeds: numbers.
        runs: ``pandas.DataFrame`` of what has been finished.

    Returns:
        List of (variant, seed).
    """
    done = set()
    if len(runs):
        done = set(zip(runs["options"], runs["seed"], strict=True))
    absent = too_many_images(made, runs)
    return [
        (variant, seed)
        for seed in seeds
        for variant in made
        if variant not in absent and (variant.options, seed) not in done
    ]


def too_many_images(made, runs):
    """The variants that ask for more images than the default learns from."""
    if not len(runs):
        return []
    there = runs.loc[runs["variant"] == DEFAULT, "images"].max()
    asked = {v: re.search(r"\bimages=(\d+)$", v.name) for v in made}
    return [v for v, count in asked.items() if count and int(count[1]) > there]


def table(runs):
    """One line per variant, with spread over the seeds.

    Args:
        runs: ``pandas.DataFrame`` of runs.csv.

    Returns:
        A ``pandas.DataFrame`` of str.
    """
    default = runs[runs["variant"] == DEFAULT].set_index("seed")["iou"]
    level = runs["level"].iloc[-1]
    lines = []
    for name, group in runs.groupby("variant", sort=False):
        gain = (group.set_index("seed")["iou"] - default).dropna()
        lines.append(
            {
                "variant": name,
                "seeds": str(len(group)),
                "IoU": _spread(group["iou"]),
                "95 %": _ends(group, "iou"),
                "against the default": ""
                if name == DEFAULT or gain.empty
                else f"{gain.mean():+.3f}",
                "IoU at best threshold": _spread(group["iou_at_threshold"]),
                "mean IoU": _spread(group["mean_iou"]),
                "cross-entropy": _spread(group["cross_entropy"]),
                "boundary IoU": _spread(group["boundary_iou"]),
                "object F1": _spread(group["object_f1"]),
                "object F1, 95 %": _ends(group, "object_f1"),
                "validation IoU": _spread(group["validation_iou"]),
                **_of_classes(group),
                f"epochs to {level:g}": _reached(group["epochs_to_level"]),
                "seconds an epoch": f"{group['seconds_an_epoch'].mean():.1f}",
                "weights": f"{group['weights'].iloc[0]:,}",
            }
        )
    return pd.DataFrame(lines)


def _of_classes(group):
    """The columns of several classes."""
    columns = {}
    for column in group:
        name, _, key = column.rpartition(": ")
        if name and key in _OF_CLASSES:
            title = f"{_OF_CLASSES[key]} of {name}"
            columns[title] = _spread(group[column])
            columns[f"{title}, 95 %"] = _ends(group, column)
    return columns


def _spread(values):
    """Mean and, of several seeds, standard deviation."""
    values = values.dropna().astype(float)
    if values.empty:
        return "none"
    text = f"{values.mean():.3f}"
    return text if len(values) == 1 else f"{text} ± {values.std():.3f}"


def _ends(group, score):
    """The mean interval of the seeds, as text."""
    low, high = group[f"{score}_low"].mean(), group[f"{score}_high"].mean()
    return "none" if np.isnan(low) else f"{low:.3f} to {high:.3f}"


def _reached(epochs):
    """Mean epoch of the seeds that reached the level, and how many did."""
    reached = epochs.dropna().astype(float)
    if reached.empty:
        return "never"
    part = f" ({len(reached)} of {len(epochs)})"
    return f"{reached.mean():.1f}" + part * (len(reached) < len(epochs))


def markdown(table):
    """A table of str as Markdown."""
    rows = [table.columns, ["---"] * table.shape[1], *table.to_numpy()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def text(table):
    """What of a table fits into a terminal."""
    columns = ["variant", "seeds", "IoU", "95 %", "against the default"]
    rows = [columns, *table[columns].to_numpy()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows
    )


def read_runs(path, level):
    """runs.csv, or an empty table where there is none.

    Args:
        path: the file.
        level: validation IoU whose first epoch is wanted.

    Raises:
        DataError: it is none of ours.
    """
    if not path.exists():
        return pd.DataFrame()
    try:
        runs = pd.read_csv(path, dtype={"options": str})
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected runs.csv: {error}.") from None
    missing = {"variant", "seed", "options", "data", "iou", "curve"} - set(runs)
    if missing:
        raise DataError(
            f"{path}: expected the table of a comparison, found no column "
            f"{', '.join(sorted(missing))}. Give another --out."
        )
    runs["options"] = runs["options"].fillna("")  # the default has none
    # Runs that were made before have no scores of objects.
    for column in ("object_f1", "object_f1_low", "object_f1_high"):
        if column not in runs:
            runs[column] = np.nan
    runs["level"] = level
    runs["epochs_to_level"] = [
        epochs_to(curve, level) for curve in runs["curve"]
    ]
    return runs


def check_runs(runs, path, data, options):
    """Refuse finished runs that cannot stand in one table with new ones.

    Args:
        runs: of ``read_runs``.
        path: where they lie.
        data: digest of the data now.
        options: of the default now.

    Raises:
        DataError: they had other data, or another default.
    """
    if not len(runs):
        return
    if set(runs["data"]) != {data}:
        raise DataError(
            f"{path}: holds runs on other data than are given now. Give "
            "another --out."
        )
    for before in runs.loc[runs["variant"] == DEFAULT, "options"]:
        if before != options:
            raise DataError(
                f"{path}: holds runs with the options '{before}' for all "
                f"variants, now they are '{options}'. Give the same, or "
                "another --out."
            )
