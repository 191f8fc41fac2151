"""Figures of data, training and predictions, as PNG files.

They are made without pyplot: no window, no global state.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from unet.files.atomic import replacing
from unet.files.folders import UNKNOWN
from unet.files.splits import spread
from unet.imagery.bands import PICTURES
from unet.imagery.mask_values import read_class_ids, read_mask
from unet.pictures.overlay import (
    OUTCOMES,
    STRIPE,
    colour_of,
    errors,
    in_colour,
    overlay,
)

_PANEL, _ENLARGED = 1.7, 2.7  # inches
# Panels a line of a contact sheet, and the letters that fit above one.
_COLUMNS, _NAME = 8, 28
# Share of a confusion from which on its cell is too dark for black letters.
_DARK = 0.6


def save_figure(figure, path):
    """Write a figure as PNG, all of it or nothing."""
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _grid(rows, columns, titles, panel=_PANEL):
    """A figure of square panels with a title over each column."""
    figure = Figure((columns * panel, rows * panel + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
        # Matplotlib would measure and place ticks that nobody sees.
        axis.set(xticks=[], yticks=[])
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8)
    return figure, axes


def sample_grid(samples, classes, bands=PICTURES, rows=6):
    """The article's figure: image | one instance | merged mask.

    Args:
        samples: labelled samples; those with masks come first.
        classes: foreground class names.
        bands: ``unet.imagery.bands.Bands`` of the images.
        rows: how many samples are shown.

    Returns:
        A ``Figure``.
    """
    masked = [s for s in samples if any(s.masks.values())]
    shown = spread(masked or samples, rows)
    titles = ["image", "one instance", "merged mask"]
    figure, axes = _grid(len(shown), 3, titles)
    for sample, row in zip(shown, axes, strict=True):
        image = bands.picture(bands.read(sample.image))
        shape = image.shape[:2]
        paths = [p for name in classes for p in sample.masks.get(name, [])]
        first = [read_mask(path, shape) for path in paths[:1]]
        ids = read_class_ids(sample, classes, shape)
        row[0].imshow(image)
        row[1].imshow(
            first[0] if first else np.zeros(shape), cmap="gray", vmin=0
        )
        row[2].imshow(in_colour(ids))
    return figure


def augmented_grid(X, Y, augmentation, rng, bands=PICTURES, rows=6, versions=5):
    """Originals beside what augmentation makes of them, masks outlined.

    Args:
        X: uint8 or uint16, N x H x W x bands.
        Y: uint8, N x H x W, class ids; pairs with objects come first.
        augmentation: ``unet.training.augmentation.Augmentation``.
        rng: ``numpy.random.Generator``.
        bands: ``unet.imagery.bands.Bands`` of the images.
        rows: how many pairs are shown.
        versions: new ones of each.

    Returns:
        A ``Figure``.
    """
    masked = [n for n, ids in enumerate(Y) if ids.any()]
    shown = spread(masked or range(len(Y)), rows)
    titles = ["original", *[f"version {k + 1}" for k in range(versions)]]
    figure, axes = _grid(len(shown), 1 + versions, titles)
    for n, row in zip(shown, axes, strict=True):
        same = np.repeat([n], versions)
        new = augmentation(X[same], Y[same], rng)
        pairs = [(X[n], Y[n]), *zip(*new, strict=True)]
        for axis, (image, ids) in zip(row, pairs, strict=True):
            axis.imshow(overlay(bands.picture(image), ids, strength=0))
    return figure


@dataclass(frozen=True)
class Example:
    """One image of a contact sheet.

    Attributes:
        name: its name.
        image: uint8, H x W x 3.
        ids: uint8, H x W, predicted class ids.
        truth: uint8, H x W, class ids; None: not known.
    """

    name: str
    image: np.ndarray
    ids: np.ndarray
    truth: np.ndarray | None = None

    def smaller(self, most=500):
        """The same with at most so many pixels a side."""
        step = -(-max(self.ids.shape) // most)
        if step == 1:
            return self
        return Example(
            self.name,
            *(
                None if part is None else part[::step, ::step].copy()
                for part in (self.image, self.ids, self.truth)
            ),
        )


def contact_sheet(examples, total):
    """image | prediction, and with them truth | errors if any truth is known.

    Args:
        examples: list of ``Example``.
        total: how many there are in all, for the legend.

    Returns:
        A ``Figure``.
    """
    known = any(example.truth is not None for example in examples)
    titles = ["", "prediction"]
    if known:
        titles = ["", "truth", "prediction", "errors"]
    a_line = _COLUMNS // len(titles)
    lines = -(-len(examples) // a_line)
    figure, axes = _grid(lines, _COLUMNS, titles * a_line)
    for example, row in zip(
        examples, axes.reshape(-1, len(titles)), strict=False
    ):
        row[0].imshow(example.image)
        row[0].set_title(_short(example.name), fontsize=6, loc="left")
        row[titles.index("prediction")].imshow(in_colour(example.ids))
        if example.truth is not None:
            row[1].imshow(in_colour(example.truth))
            row[3].imshow(errors(example.image, example.truth, example.ids))
        elif known:
            row[1].text(0.5, 0.5, "unknown", ha="center", va="center")
    meanings = dict(zip(("found", "invented", "missed"), OUTCOMES, strict=True))
    handles = [
        Patch(facecolor=np.array(colour) / 255, edgecolor="grey", label=label)
        for label, colour in meanings.items()
    ]
    truths = [example.truth for example in examples if known]
    if any(np.any(truth == UNKNOWN) for truth in truths):
        ignored = {"facecolor": "black", "edgecolor": np.array(STRIPE) / 255}
        handles.append(Patch(hatch="////", label="not labelled", **ignored))
    figure.legend(
        handles=handles if known else [],
        loc="outside lower center",
        ncols=len(handles),
        fontsize=8,
        title=f"{len(examples)} of {total} images",
        title_fontsize=8,
    )
    return figure


def before_and_after(images, before, after):
    """image | mask of the model as trained | mask of the adapted one.

    Args:
        images: list of uint8, H x W x 3.
        before, after: lists of uint8, H x W, class ids.

    Returns:
        A ``Figure``.
    """
    titles = ["image", "as trained", "adapted"]
    lines = -(-len(images) // 2)
    figure, axes = _grid(lines, 6, titles * 2)
    triples = zip(images, before, after, strict=True)
    for row, (image, *masks) in zip(axes.reshape(-1, 3), triples, strict=False):
        row[0].imshow(image)
        for axis, ids in zip(row[1:], masks, strict=True):
            axis.imshow(overlay(image, ids))
    return figure


def _short(name):
    """A name that is no wider than a panel."""
    return name if len(name) <= _NAME else f"{name[: _NAME - 3]}..."


def place_grid(places, titles):
    """Places of a scene, each with its outlines and its probabilities.

    Args:
        places: list of ``unet.prediction.overview.Place``.
        titles: a text for each.

    Returns:
        A ``Figure``.
    """
    rows = max(1, -(-len(places) // 3))
    figure, axes = _grid(rows, 6, [""] * 6, _ENLARGED)
    pairs = axes.reshape(-1, 2)
    for place, title, pair in zip(places, titles, pairs, strict=False):
        pair[0].imshow(overlay(place.image, place.ids, strength=0))
        pair[1].imshow(place.probability, cmap="viridis", vmin=0, vmax=1)
        beside = f"probability\nuncertainty {place.uncertainty:.2f}"
        for axis, text in zip(pair, (title, beside), strict=True):
            axis.set_title(text, fontsize=6, loc="left")
    return figure


def confusion_matrix(confusion):
    """Which class the pixels of each class were taken for.

    Rows are the truth, columns the prediction; each row shows shares of its
    pixels, and counts. The background has a row where a judged pixel is
    background, and a column where one is or is predicted to be.

    Args:
        confusion: ``labels``, the background first, and ``counts`` of
            ``unet.scoring.scores.Scores.summary``.

    Returns:
        A ``Figure``.
    """
    labels, counts = confusion["labels"], np.array(confusion["counts"])
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    first_row = 0 if true[0] else 1
    first = 0 if true[0] or predicted[0] else 1
    shares = counts / np.maximum(true, 1)[:, None]
    shares, counts = (x[first_row:, first:] for x in (shares, counts))
    height, width = shares.shape
    size = 1.1 * width + 1.6, 0.75 * height + 1.4
    figure = Figure(size, layout="constrained")
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        text = f"{share:.1%}\n{counts[row, column]:,}"
        colour = "white" if share > _DARK else "black"
        where = {"ha": "center", "va": "center"}
        axis.text(column, row, text, color=colour, fontsize=8, **where)
    names = [_short(label) for label in labels]
    axis.set_xticks(range(width), names[first:], rotation=30, ha="right")
    axis.set_yticks(range(height), names[first_row:])
    axis.set_xlabel("prediction")
    axis.set_ylabel("truth")
    axis.set_title("share of the truth's pixels, and pixels", fontsize=9)
    return figure


def curves(log, names):
    """Loss and metrics over epochs, training against validation.

    Args:
        log: ``pandas.DataFrame`` of the CSV log.
        names: columns to draw, each beside its ``val_`` twin if it has one.

    Returns:
        A ``Figure``.
    """
    figure = Figure((4 * len(names), 3), layout="constrained")
    epochs = log["epoch"] + 1
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        axis.plot(epochs, log[name], ".-", label="training")
        if f"val_{name}" in log:
            axis.plot(epochs, log[f"val_{name}"], ".-", label="validation")
        axis.set_title(name.replace("_", " ").replace("iou", "IoU"))
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend()
        if name != "loss":
            axis.set_ylim(0, 1)
    return figure


def reliability(sides):
    """Predicted probability against observed share, with counts.

    Args:
        sides: dict from a title to ``Reliability`` of
            ``unet.scoring.calibration``; those without a pixel are left out.

    Returns:
        A ``Figure``.
    """
    sides = {
        title: reliability
        for title, reliability in sides.items()
        if reliability.counts.any()
    }
    figure = Figure((4 * len(sides), 4.5), layout="constrained")
    axes = figure.subplots(
        2, len(sides), squeeze=False, sharex=True, height_ratios=[3, 1]
    )
    for (title, side), top, low in zip(sides.items(), *axes, strict=True):
        top.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for number, name in enumerate(side.classes):
            predicted, observed, pixels = side.curve(number)
            colour = colour_of(number + 1) / 255
            top.plot(predicted, observed, ".-", color=colour, label=name)
            low.stairs(pixels, np.linspace(0, 1, len(pixels) + 1), color=colour)
        top.set_title(title)
        top.set_ylabel("observed share")
        top.set_ylim(0, 1)
        top.grid(alpha=0.3)
        top.legend()
        low.set_yscale("log")
        low.yaxis.set_major_formatter("{x:g}")  # not as powers: TeX is slow
        low.yaxis.set_minor_formatter("")
        low.set_ylabel("pixels")
        low.set_xlabel("predicted probability")
    return figure


def feature_maps(model, image, most=6):
    """What the decoder sees on its way up, level by level.

    Each row is one level, the coarse one at the top. On the left maps that
    the encoder handed across, on the right what the decoder made of them
    together with what came up from below. A level that nothing was handed
    across to is left out.

    Args:
        model: of ``unet.network.model.build_unet``.
        image: uint8 or uint16, H x W x bands, of the network's input size.
        most: maps shown of each kind.

    Returns:
        A ``Figure``.
    """
    from unet.network.backend import keras  # slow to import

    skips = {
        layer.name: layer.input[1]
        for layer in model.layers
        if layer.name.startswith("skip_")
    }
    rises = [
        layer.input
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2DTranspose)
    ]
    # What leaves a level is what the next one, or the last layer, takes in.
    made = [*rises[1:], model.layers[-1].input]
    names = [f"skip_{level}" for level in range(len(made), 0, -1)]
    made = [x for x, name in zip(made, names, strict=True) if name in skips]
    skips = [skips[name] for name in names if name in skips]
    maps = keras.Model(model.inputs, [skips, made]).predict(
        image[None], verbose=0
    )
    titles = ["across (skip)"] * most + ["decoder"] * most
    figure, axes = _grid(len(skips), 2 * most, titles)
    for row, *pair in zip(axes, *maps, strict=True):
        for half, values in zip(np.split(row, 2), pair, strict=True):
            strongest = np.argsort(values[0].std(axis=(0, 1)))[::-1]
            for axis, channel in zip(half, strongest, strict=False):
                axis.imshow(values[0, ..., channel], cmap="viridis")
    return figure
