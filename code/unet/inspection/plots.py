"""A data set at a glance."""

from collections import Counter

import numpy as np
from matplotlib.figure import Figure

from unet.inspection.whole_set import class_pixels

INK = "#2b6cb0", "#dd6b20", "#718096"


def plot(exams):
    """The data set at a glance.

    Args:
        exams: of ``unet.inspection.whole_set.check``.

    Returns:
        A ``Figure`` of six panels: how many images, their sizes, the classes'
        shares, objects an image, sizes of the objects, light and contrast.
    """
    figure = Figure((12, 6.4), layout="constrained")
    axes = figure.subplots(2, 3)
    seen = [exam for exam in exams if exam.shape]
    for axis, draw in zip(
        axes.flat,
        (
            _plot_counts, _plot_sizes, _plot_shares,
            _plot_instances, _plot_areas, _plot_light,
        ),
        strict=True,
    ):  # fmt: skip
        draw(axis, seen)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _plot_counts(axis, exams):
    sides = sorted({exam.item.side for exam in exams}, reverse=True)
    states = ("with objects", "nothing there", "not annotated")
    counts = Counter((exam.item.side, state_of(exam)) for exam in exams)
    base = np.zeros(len(sides))
    for state, colour in zip(states, INK, strict=True):
        values = np.array([counts[side, state] for side in sides])
        names = [side or "all" for side in sides]
        axis.bar(names, values, 0.6, base, label=state, color=colour)
        base = base + values
    axis.set_title("images")
    axis.set_xlim(-0.8, max(len(sides), 2) - 0.2)
    axis.set_ylim(0, max(base, default=1) * 1.35)
    axis.legend(
        fontsize=7,
        frameon=False,
        ncols=3,
        loc="upper center",
        handlelength=1,
        columnspacing=1,
    )


def state_of(exam):
    if not exam.item.labelled:
        return "not annotated"
    item = exam.item
    files = item.masks and item.classes
    files = files and not (item.has_complete_mask and exam.shape)
    return "with objects" if exam.areas or files else "nothing there"


def _plot_sizes(axis, exams):
    sizes = Counter(exam.shape for exam in exams)
    if sizes:
        height, width = np.array(list(sizes)).T
        counts = np.array(list(sizes.values()))
        area = 20 + 380 * counts / counts.max()
        axis.scatter(width, height, area, color=INK[0], alpha=0.6)
        axis.set_xlim(0, width.max() * 1.25)
        axis.set_ylim(0, height.max() * 1.25)
    axis.set_title(f"sizes ({len(sizes)} different)")
    axis.set_xlabel("width in pixels")
    axis.set_ylabel("height in pixels")


def _plot_shares(axis, exams):
    """Classes by their share of the pixels of annotated images."""
    labelled = [exam for exam in exams if exam.item.labelled]
    total = sum(int(np.prod(exam.shape)) - exam.ignored for exam in labelled)
    covers = sum(class_pixels(labelled), Counter())
    top = covers.most_common(10)[::-1]
    values = [count / max(total, 1) for _, count in top]
    bars = axis.barh([name for name, _ in top], values, 0.6, color=INK[0])
    axis.bar_label(bars, [f"{value:.1%}" for value in values], padding=3)
    axis.set_xlim(0, max(values, default=1) * 1.25)
    axis.set_ylim(-0.8, max(len(values), 3) - 0.2)
    axis.set_title("share of the pixels")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _plot_instances(axis, exams):
    counts = [len(exam.areas) for exam in exams if exam.item.labelled]
    if any(counts):
        step = max(1, max(counts) // 30)
        edges = np.arange(0, max(counts) + step + 1, step) - 0.5
        axis.hist(counts, edges, color=INK[0])
    else:
        axis.set_axis_off()
    axis.set_title("objects an image" if any(counts) else "no objects")
    axis.set_ylabel("images")


def _plot_areas(axis, exams):
    areas = [area for exam in exams for _, area in exam.areas]
    if areas:
        low, high = np.log10(min(areas)), np.log10(max(areas)) + 0.01
        axis.hist(areas, np.logspace(low, high, 31), color=INK[0])
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(lambda value, _: "")
        axis.tick_params(axis="x", labelsize=8)
    else:
        axis.set_axis_off()
    axis.set_title("sizes of the objects" if areas else "")
    axis.set_xlabel("pixels")
    axis.set_ylabel("objects")


def _plot_light(axis, exams):
    sides = sorted({exam.item.side for exam in exams}, reverse=True)
    for side, colour in zip(sides, INK, strict=False):
        own = [exam for exam in exams if exam.item.side == side]
        axis.scatter(
            [exam.light for exam in own],
            [exam.contrast for exam in own],
            9,
            color=colour,
            alpha=0.6,
            label=side,
        )
    if len(sides) > 1:
        axis.legend(fontsize=8, frameon=False)
    axis.set_xlim(0, 255)
    axis.set_ylim(0, None)
    axis.set_title("light and contrast")
    axis.set_xlabel("mean grey value")
    axis.set_ylabel("standard deviation")
