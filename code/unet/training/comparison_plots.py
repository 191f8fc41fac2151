"""Pictures of a comparison of trainings."""

import textwrap

import numpy as np
from matplotlib import colormaps, cycler
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unet.training.comparison import DEFAULT, numbers_of, without_images

# The article's numbers of images: its example, and its own data set.
_ARTICLE = (128, 720)
# Grey is the default's; a second round of the colours is dashed.
_LINES = cycler(linestyle=["-", "--"]) * cycler(
    color=[c for c in colormaps["tab10"].colors if len(set(c)) > 1]
)
_LEGEND = 6  # lines of a legend that fit into a panel


def _wrapped(name):
    """A variant's name in lines that fit beside a plot and into it."""
    return textwrap.fill(name, 34, break_on_hyphens=False)


def score_plot(runs):
    """IoU of every run, by variant; the band is what seeds alone do.

    Returns:
        A ``Figure``.
    """
    names = list(dict.fromkeys(runs["variant"]))
    labels = [_wrapped(name) for name in names]
    lines = np.array([1 + label.count("\n") for label in labels])
    heights = np.cumsum(lines) - lines / 2  # room for the lines of each name
    figure = Figure((8, 1 + 0.3 * lines.sum()), layout="constrained")
    axis = figure.subplots()
    default = runs.loc[runs["variant"] == DEFAULT, "iou"]
    axis.axvline(default.mean(), color="grey", linewidth=0.8)
    axis.axvspan(default.min(), default.max(), color="grey", alpha=0.15)
    for height, name in zip(heights, names, strict=True):
        group = runs[runs["variant"] == name]
        ends = group["iou_low"].mean(), group["iou_high"].mean()
        axis.plot(ends, [height] * 2, color="tab:blue", alpha=0.35)
        axis.plot(group["iou"], [height] * len(group), ".", color="tab:blue")
        axis.plot(
            group["iou"].mean(), height, "|", color="black", markersize=12
        )
    axis.set_yticks(heights, labels)
    axis.set_ylim(lines.sum(), 0)
    axis.grid(axis="x", alpha=0.3)
    figure.supxlabel(
        "IoU on the test images at 0.5 (dots: seeds; line: 95 % over images;\n"
        "grey: what seeds alone do to the default)",
        fontsize="medium",
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
    legends = [
        sum(1 + _wrapped(name).count("\n") for name in [DEFAULT, *members])
        for members in panels.values()
    ]
    # A long legend lies below its panel, whose row is higher for it.
    below = [lines if lines > _LEGEND else 0 for lines in legends]
    longest = [
        max(below[i : i + columns]) for i in range(0, len(below), columns)
    ]
    size = (4.2 * columns, 3 * rows + 0.17 * sum(longest))
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (option, members), lines in zip(
        axes.flat, panels.items(), below, strict=False
    ):
        axis.plot(*mean_curve(runs, DEFAULT), label=DEFAULT, color="grey")
        axis.set_prop_cycle(_LINES)
        for name in members:
            axis.plot(*mean_curve(runs, name), label=_wrapped(name))
        axis.set_title(option, fontsize=9)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0)}
        place |= {"borderaxespad": 5}  # below the axis' own text
        axis.legend(fontsize=7, **place if lines else {})
    for axis in axes[:, 0]:
        axis.set_ylabel("validation IoU")
    return figure


def mean_curve(runs, name):
    """(epochs, validation IoU): the mean over the seeds that got so far."""
    texts = runs.loc[runs["variant"] == name, "curve"]
    curves = [numbers_of(text) for text in texts]
    longest = max(map(len, curves))
    filled = np.full((len(curves), longest), np.nan)
    for row, curve in zip(filled, curves, strict=True):
        row[: len(curve)] = curve
    return np.arange(1, longest + 1), np.nanmean(filled, axis=0)


def learning_plot(runs):
    """IoU against the number of training images, a line for each variant.

    Args:
        runs: of a comparison; a variant counts if it was trained on fewer
            images as well.

    Returns:
        A ``Figure``.
    """
    variants = runs["variant"].map(without_images)
    curves = {DEFAULT, *variants[variants != runs["variant"]]}
    figure = Figure((6, 4), layout="constrained")
    axis = figure.subplots()
    for name, group in runs.groupby(variants, sort=False):
        if name in curves:
            means = group.groupby("images")["iou"].mean()
            (line,) = axis.plot(means.index, means, label=name)
            dots = group["images"], group["iou"]
            axis.plot(*dots, ".", color=line.get_color(), alpha=0.6)
    for number in _ARTICLE:
        axis.axvline(number, color="grey", linewidth=0.8, linestyle=":")
        axis.text(
            number,
            0.02,
            f"the article's {number} ",
            fontsize=7,
            rotation=90,
            ha="right",
            transform=axis.get_xaxis_transform(),
        )
    runs = runs[variants.isin(curves)]
    counts = sorted(set(runs["images"]))
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, counts)
    axis.set_xlabel("training images")
    axis.set_ylabel("IoU on the test images at 0.5")
    axis.set_ylim(0, max(0.8, runs["iou"].max() + 0.05))
    axis.grid(alpha=0.3)
    if len(curves) > 1:
        axis.legend(loc="lower left")
    return figure
