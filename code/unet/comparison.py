"""Variants of a training: what they are, what came out, table and plots."""

import itertools
import shlex
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unet.folders import DataError

DEFAULT = "default"
# The article's numbers of images: its example, and its own data set.
_ARTICLE = (128, 720)
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
    if not grid:
        choices = [[one] for option in choices for one in option]
        made = [combined(one) for one in choices]
    else:
        made = [combined(one) for one in itertools.product(*choices)]
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
    return [Variant(f"{option}={v}", _words(option, v)) for v in values]


def _words(option, value):
    if value in _SWITCHES:
        return (_SWITCHES[value].format(option),)
    return (f"--{option}", *shlex.split(value))


def combined(parts):
    """One variant of several."""
    name = ", ".join(part.name for part in parts)
    return Variant(name, tuple(w for part in parts for w in part.words))


def row_of(summary, log, level):
    """What a comparison keeps of a finished run.

    Args:
        summary: the run's summary.json.
        log: its log.csv, a ``pandas.DataFrame``.
        level: validation IoU whose first epoch is kept.

    Returns:
        dict of a line of runs.csv. IoU, interval and boundary IoU are means
        over the foreground classes.
    """
    scores, best = summary["scores"], summary["scores_at_best_threshold"]
    classes = scores["classes"].values()
    validation = summary["validation"]["classes"].values()
    (monitor,) = [c for c in log if c.startswith("val_") and c.endswith("_iou")
                  and c != "val_mean_iou"]  # fmt: skip
    curve = log[monitor].to_numpy()
    passed = np.flatnonzero(curve >= level)
    low, high = np.mean([one["iou_interval"] for one in classes], axis=0)
    return {
        "iou": _mean(classes, "iou"),
        "iou_low": low,
        "iou_high": high,
        "threshold": summary["best_threshold"],
        "iou_at_threshold": best and _mean(best["classes"].values(), "iou"),
        "mean_iou": scores["mean_iou"],
        "cross_entropy": scores["cross_entropy"],
        "boundary_iou": _mean(classes, "boundary_iou"),
        "validation_iou": _mean(validation, "iou"),
        "epochs": summary["epochs"],
        "best_epoch": summary["best_epoch"],
        "level": level,
        "epochs_to_level": int(passed[0]) + 1 if len(passed) else None,
        "seconds_an_epoch": summary["seconds"] / summary["epochs"],
        "weights": summary["weights"],
        "images": summary["images"]["training"],
        "digest": summary["data"]["digest"],
        "curve": " ".join(f"{value:.4f}" for value in curve),
    }


def _mean(classes, key):
    return float(np.mean([one[key] for one in classes]))


def table(runs):
    """One line per variant, as Markdown.

    Args:
        runs: ``pandas.DataFrame`` of runs.csv.
    """
    lines = [
        "| variant | seeds | IoU | against the default | IoU at best "
        "threshold | mean IoU | cross-entropy | boundary IoU | validation IoU "
        "| epochs to level | seconds an epoch | weights |",
        "|" + "---|" * 12,
    ]
    default = runs[runs["variant"] == DEFAULT].set_index("seed")["iou"]
    for name, some in runs.groupby("variant", sort=False):
        gain = (some.set_index("seed")["iou"] - default).dropna()
        low, high = some["iou_low"].mean(), some["iou_high"].mean()
        passed = some["epochs_to_level"].dropna()
        cells = [
            name,
            str(len(some)),
            f"{_spread(some['iou'])} ({low:.3f} to {high:.3f})",
            "" if name == DEFAULT or gain.empty else f"{gain.mean():+.3f}",
            _spread(some["iou_at_threshold"]),
            _spread(some["mean_iou"]),
            _spread(some["cross_entropy"]),
            _spread(some["boundary_iou"]),
            _spread(some["validation_iou"]),
            f"{passed.mean():.1f}" if len(passed) == len(some) else "never",
            f"{some['seconds_an_epoch'].mean():.0f}",
            f"{some['weights'].iloc[0]:,}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _spread(values):
    """Mean and, of several seeds, standard deviation."""
    values = values.dropna().astype(float)
    if values.empty:
        return "none"
    text = f"{values.mean():.3f}"
    return text if len(values) == 1 else f"{text} ± {values.std():.3f}"


def score_plot(runs):
    """IoU of every run, by variant; the band is what seeds alone do.

    Returns:
        A ``Figure``.
    """
    names = list(dict.fromkeys(runs["variant"]))
    figure = Figure((8, 1 + 0.3 * len(names)), layout="constrained")
    axis = figure.subplots()
    default = runs.loc[runs["variant"] == DEFAULT, "iou"]
    axis.axvline(default.mean(), color="grey", linewidth=0.8)
    axis.axvspan(default.min(), default.max(), color="grey", alpha=0.15)
    for height, name in enumerate(names):
        some = runs[runs["variant"] == name]
        ends = some["iou_low"].mean(), some["iou_high"].mean()
        axis.plot(ends, [height] * 2, color="tab:blue", alpha=0.35)
        axis.plot(some["iou"], [height] * len(some), ".", color="tab:blue")
        axis.plot(some["iou"].mean(), height, "|", color="black", markersize=12)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(axis="x", alpha=0.3)
    axis.set_xlabel(
        "IoU on the test images at 0.5 (dots: seeds; line: 95 % over images)"
    )
    return figure


def curve_plot(runs):
    """Validation IoU over epochs; a panel for each option that was varied.

    Returns:
        A ``Figure``.
    """
    names = [name for name in dict.fromkeys(runs["variant"]) if name != DEFAULT]
    panels = {}
    for name in names:
        panels.setdefault(name.split("=")[0], []).append(name)
    panels = panels or {DEFAULT: []}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure((4.2 * columns, 3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (option, members) in zip(axes.flat, panels.items(), strict=False):
        for name in [DEFAULT, *members]:
            colour = {"color": "grey"} if name == DEFAULT else {}
            axis.plot(*mean_curve(runs, name), label=name, **colour)
        axis.set_title(option, fontsize=9)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    for axis in axes[:, 0]:
        axis.set_ylabel("validation IoU")
    return figure


def mean_curve(runs, name):
    """(epochs, validation IoU): the mean over the seeds that got so far."""
    texts = runs.loc[runs["variant"] == name, "curve"]
    curves = [np.array(text.split(), float) for text in texts]
    longest = max(map(len, curves))
    filled = np.full((len(curves), longest), np.nan)
    for row, curve in zip(filled, curves, strict=True):
        row[: len(curve)] = curve
    return np.arange(1, longest + 1), np.nanmean(filled, axis=0)


def learning_plot(runs):
    """IoU against the number of training images.

    Args:
        runs: those of the learning curve, all images included.

    Returns:
        A ``Figure``.
    """
    figure = Figure((6, 4), layout="constrained")
    axis = figure.subplots()
    groups = runs.groupby("images")
    counts = sorted(groups.groups)
    means = [groups.get_group(count)["iou"].mean() for count in counts]
    axis.plot(runs["images"], runs["iou"], ".", color="tab:blue", alpha=0.6)
    axis.plot(counts, means, "-", color="tab:blue")
    for number in _ARTICLE:
        axis.axvline(number, color="grey", linewidth=0.8, linestyle=":")
        axis.text(number, 0.02, f" the article's {number}", fontsize=7,
                  transform=axis.get_xaxis_transform())  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, counts)
    axis.set_xlabel("training images")
    axis.set_ylabel("IoU on the test images at 0.5")
    axis.set_ylim(0, max(0.8, runs["iou"].max() + 0.05))
    axis.grid(alpha=0.3)
    return figure


def read_runs(path):
    """runs.csv, or an empty table where there is none.

    Raises:
        DataError: it is none of ours.
    """
    if not path.exists():
        return pd.DataFrame()
    try:
        runs = pd.read_csv(path, keep_default_na=True)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected runs.csv: {error}.") from None
    missing = {"variant", "seed", "options", "iou", "curve"} - set(runs)
    if missing:
        raise DataError(
            f"{path}: expected the table of a comparison, found no column "
            f"{', '.join(sorted(missing))}. Give another --out."
        )
    return runs
