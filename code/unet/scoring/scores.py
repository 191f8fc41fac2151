"""Honest scores: pixels of the whole test set pooled into integer counts."""

import numpy as np

from unet.files.splits import spread
from unet.geometry.components import UNKNOWN, Bands
from unet.geometry.masks import boundary, to_ids
from unet.scoring.counts import confusion, cross_entropy, iou
from unet.scoring.objects import Matches, match_objects

_RESAMPLES = 1000
_BAND = 64  # rows of a scene that are scored at once
# Images kept for a contact sheet.
EXAMPLES = 16


class Scores:
    """Collects images one by one and scores them together.

    Args:
        classes: foreground class names in the order of their ids.
    """

    def __init__(self, classes):
        self.classes = list(classes)
        self.names = []
        self._counts = []
        self._boundaries = []
        self._objects = []
        self._entropies = []

    def add(self, name, truth, predicted, probability):
        """Add one image.

        Args:
            name: the image's name.
            truth, predicted: uint8, H x W, class ids.
            probability: float, H x W x 1 or x classes.
        """
        total = len(self.classes) + 1
        self.names.append(name)
        self._counts.append(confusion(truth, predicted, total, total))
        self._entropies.append(cross_entropy(truth, probability))
        # Boundary IoU, Cheng et al. 2021: a band of 2 % of the diagonal.
        band = max(1, round(0.02 * float(np.hypot(*truth.shape))))
        edges, objects = [], []
        for number in range(1, total):
            a, b = truth == number, predicted == number
            c, d = boundary(a, band), boundary(b, band)
            edges.append([np.sum(c & d), np.sum(c | d)])
            objects.append(match_objects(a, b))
        self._boundaries.append(edges)
        self._objects.append(objects)

    def watching(self, predictions, threshold):
        """Score what another threshold makes of predictions, pass all on.

        Args:
            predictions: iterable of ``unet.prediction.photos.Prediction``.
            threshold: see ``unet.geometry.masks.to_ids``.

        Yields:
            The predictions, as they are.
        """
        for one in predictions:
            if one.truth is not None:
                ids = to_ids(one.probability, threshold)
                self.add(one.name, one.truth, ids, one.probability)
            yield one

    def summary(self, seed=0):
        """All scores, pooled over the images.

        Args:
            seed: of the bootstrap.

        Returns:
            dict that JSON can hold: ``images``, ``mean_iou`` (over all
            classes with the background), ``cross_entropy`` (mean over
            pixels, in nats), and for every foreground class a dict with
            ``iou``, ``iou_interval`` (95 %, bootstrap over images),
            ``precision``, ``recall``, ``f1``, ``boundary_iou``,
            ``object_f1`` (at IoU 0.5), ``pixels`` (int counts ``tp``,
            ``fp``, ``fn``, ``tn``). A score without a single pixel or
            object to judge is None.
        """
        counts = np.array(self._counts)
        pooled = counts.sum(axis=0)
        intervals = self._intervals(counts, seed)
        result = {
            "images": len(self.names),
            "mean_iou": _number(np.nanmean(iou(pooled))),
            "cross_entropy": float(np.sum(self._entropies) / pooled.sum()),
            "classes": {},
        }
        edges = np.sum(self._boundaries, axis=0)
        objects = np.sum(self._objects, axis=0)
        for k, name in enumerate(self.classes, start=1):
            result["classes"][name] = {
                **_of_pixels(pooled, k),
                "iou_interval": intervals[k],
                "boundary_iou": _ratio(*edges[k - 1].tolist()),
                **_of_objects(*objects[k - 1].tolist()),
            }
        return result

    def per_image(self):
        """IoU of each image and class: list of (name, {class: IoU})."""
        scores = iou(np.array(self._counts))
        return [
            (
                name,
                {
                    c: _number(v)
                    for c, v in zip(self.classes, row[1:], strict=True)
                },
            )
            for name, row in zip(self.names, scores, strict=True)
        ]

    def _intervals(self, counts, seed):
        """95 % percentile bootstrap over images: (low, high) per class."""
        rng = np.random.default_rng(seed)
        total = len(counts)
        chosen = rng.integers(0, total, (_RESAMPLES, total))
        # One row of weights a resample: how often each image was drawn.
        weights = [np.bincount(row, minlength=total) for row in chosen]
        resampled = iou(np.tensordot(weights, counts, axes=1))
        defined = [scores[~np.isnan(scores)] for scores in resampled.T]
        return [
            np.percentile(scores, [2.5, 97.5]).tolist()
            if scores.size
            else [None, None]
            for scores in defined
        ]


class SceneScores:
    """Scores one scene while it streams: what ``Scores`` has of pixels and
    objects, counted as if it were one image.

    Args:
        shape: (H, W) of the scene.
        classes: foreground class names in the order of their ids.
    """

    def __init__(self, shape, classes):
        self.classes = list(classes)
        total = len(self.classes) + 1
        self._bands = Bands(_BAND, shape[0])
        self._counts = np.zeros((total, total), np.int64)
        self._entropy = 0.0
        self._matches = [Matches() for _ in self.classes]

    def add(self, strip, truth):
        """Add the next rows.

        Args:
            strip: a ``Strip`` of ``unet.prediction.scenes``.
            truth: uint8, h x W, class ids; ``UNKNOWN`` is not judged, nor is
                what the scene does not know. An object that reaches there is
                cut off.
        """
        total = len(self.classes) + 1
        for _, (ids, probability, known, true) in self._bands.add(
            strip.ids, strip.probability, strip.known, truth
        ):
            judged = known & (true != UNKNOWN)
            a, b = true[judged], ids[judged]
            self._counts += confusion(a, b, total, total)
            self._entropy += cross_entropy(a, probability[judged])
            for number, matches in enumerate(self._matches, start=1):
                matches.add((true == number) & judged, (ids == number) & judged)

    def close(self):
        """Nothing follows.

        Raises:
            ValueError: rows of the scene are missing.
        """
        self._bands.close()
        for matches in self._matches:
            matches.close()

    def summary(self):
        """All scores, after ``close``.

        Returns:
            dict as of ``Scores.summary``, without ``images``, intervals and
            boundary IoU.
        """
        judged = self._counts.sum()
        mean = np.nanmean(iou(self._counts)) if judged else np.nan
        return {
            "mean_iou": _number(mean),
            "cross_entropy": _ratio(self._entropy, int(judged)),
            "classes": {
                name: {
                    **_of_pixels(self._counts, k),
                    **_of_objects(*m.counts()),
                }
                for k, (name, m) in enumerate(
                    zip(self.classes, self._matches, strict=True), start=1
                )
            },
        }


def evaluate(predictions, total, classes):
    """Score predictions as they come, and keep some to look at.

    Args:
        predictions: iterable of ``unet.prediction.photos.Prediction``.
        total: how many there will be.
        classes: foreground class names.

    Returns:
        (``Scores`` of those with a known truth, at most ``EXAMPLES``
        predictions spread evenly over all, large ones made smaller).
    """
    scores, examples = Scores(classes), []
    shown = set(spread(range(total), EXAMPLES))
    for index, one in enumerate(predictions):
        if one.truth is not None:
            scores.add(one.name, one.truth, one.ids, one.probability)
        if index in shown:
            examples.append(one.smaller())
    return scores, examples


def _of_pixels(counts, k):
    """The scores of class ``k`` that a confusion matrix gives."""
    tp = int(counts[k, k])
    fp = int(counts[:, k].sum()) - tp
    fn = int(counts[k].sum()) - tp
    tn = int(counts.sum()) - tp - fp - fn
    return {
        "iou": _ratio(tp, tp + fp + fn),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "pixels": {"tp": tp, "fp": fp, "fn": fn, "tn": tn},
    }


def _of_objects(found, predicted, true):
    return {
        "object_f1": _ratio(2 * found, predicted + true),
        "objects": {"true": true, "predicted": predicted},
    }


def _ratio(part, whole):
    return part / whole if whole else None


def _number(value):
    return None if np.isnan(value) else float(value)


def table(summary, threshold=None, other=None):
    """The scores as lines of text for the terminal.

    Args:
        summary: of ``Scores``.
        threshold, other: another threshold and the summary there, or None.
    """
    lines = []
    for name, s in summary["classes"].items():
        low, high = s.get("iou_interval", (None, None))
        interval = "" if low is None else f"  (95 %: {low:.3f} to {high:.3f})"
        lines.append(f"{name} IoU       {_text(s['iou'])}{interval}")
        lines += [
            f"  {label:<16}{_text(s[key])}"
            for label, key in (
                ("F1", "f1"),
                ("precision", "precision"),
                ("recall", "recall"),
                ("boundary IoU", "boundary_iou"),
                ("object F1", "object_f1"),
            )
            if key in s
        ]
    lines.append(
        f"mean IoU with background  {_text(summary['mean_iou'])}   "
        f"cross-entropy  {_text(summary['cross_entropy'])}"
    )
    for name, s in other["classes"].items() if other else ():
        lines.append(f"{name} IoU       {_text(s['iou'])}  at {threshold:g}")
    return lines


def _text(value):
    return "none" if value is None else f"{value:.4f}"
