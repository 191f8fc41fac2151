"""Honest scores: pixels of the whole test set pooled into integer counts."""

import numpy as np

from unet.files.folders import BACKGROUND, UNKNOWN
from unet.geometry.components import RowBlocks
from unet.geometry.masks import boundary
from unet.scoring.counts import confusion, cross_entropy, iou
from unet.scoring.objects import NOT_KNOWN, Matches, Objects

_RESAMPLES = 1000
_BLOCK = 64  # rows that are scored at once, of an image that comes by rows


class Scores:
    """Collects images one by one and scores them together.

    Args:
        classes: foreground class names in the order of their ids.

    Attributes:
        names: of the images.
        images: ``ImageCounts`` of each.
    """

    def __init__(self, classes):
        self.classes = list(classes)
        self.names = []
        self.images = []

    def add(self, name, truth, predicted, probability, objects=NOT_KNOWN):
        """Add one image.

        Args:
            name: the image's name.
            truth, predicted: uint8, H x W, class ids.
            probability: float, H x W x 1 or x classes.
            objects: ``unet.scoring.objects.Objects`` of the image.
        """
        image = self.begin(name, truth.shape, objects.heights)
        image.add(truth, predicted, probability, None, objects)
        image.close()

    def begin(self, name, shape, heights=None):
        """Add one image that comes by rows.

        Args:
            name: the image's name.
            shape: (H, W).
            heights: see ``Objects``.

        Returns:
            ``ImageCounts``, to be fed and closed.
        """
        self.names.append(name)
        self.images.append(ImageCounts(shape, self.classes, heights))
        return self.images[-1]

    def summary(self, seed=0):
        """All scores, pooled over the images.

        Args:
            seed: of the bootstrap.

        Returns:
            dict that JSON can hold: ``images``, ``mean_iou`` (over all
            classes with the background; of several classes without it where
            no judged pixel is background), ``cross_entropy`` (mean over
            pixels, in nats), and for every foreground class a dict with
            ``iou``, ``iou_interval`` (95 %, bootstrap over images),
            ``precision``, ``recall``, ``f1``, ``boundary_iou``,
            ``boundary_iou_interval`` (like that of the IoU),
            ``object_f1`` (at IoU 0.5, see ``unet.scoring.objects``),
            ``object_f1_interval``,
            ``object_f1_components`` (of connected components on both
            sides, which it was before), ``pixels`` (int counts ``tp``,
            ``fp``, ``fn``, ``tn``). A score without a single pixel or
            object to judge is None. Where an image came in pieces there is
            neither an interval nor ``boundary_iou`` nor
            ``object_f1_components``. Of several classes there are besides
            ``mean_iou_classes`` (without the background),
            ``mean_iou_classes_interval``, and ``confusion``: ``labels``, and
            ``counts`` of pixels, whose rows are the truth.
        """
        counts = self._counts()
        pooled = counts.sum(axis=0)
        judged = int(pooled.sum())
        entropy = float(np.sum([image.entropy for image in self.images]))
        several = len(self.classes) > 1
        # Of land cover no pixel is background: its IoU would be 0.
        first = 1 if several and not pooled[0].any() else 0
        result = {
            "images": len(self.names),
            "mean_iou": _number(_mean(iou(pooled)[first:])),
            "cross_entropy": _ratio(entropy, judged),
            "classes": {},
        }
        whole = all(image.edges is not None for image in self.images)
        weights = self._resamples(seed) if whole else None
        if several:
            result |= self._of_all_classes(counts, weights)
        of_whole_images = [{} for _ in self.classes]
        if whole:
            of_whole_images = self._of_whole_images(counts, weights)
        objects = sum(image.objects() for image in self.images)
        for k, name in enumerate(self.classes, start=1):
            result["classes"][name] = {
                **_of_pixels(pooled, k),
                **of_whole_images[k - 1],
                **_of_objects(*objects[k - 1].tolist()),
            }
        return result

    def _of_all_classes(self, counts, weights):
        """Scores of several classes together; see ``summary``."""
        pooled = counts.sum(axis=0)
        result = {"mean_iou_classes": _number(_mean(iou(pooled)[1:]))}
        if weights is not None:
            resampled = iou(np.tensordot(weights, counts, axes=1))
            means = np.array([[_mean(scores[1:])] for scores in resampled])
            (result["mean_iou_classes_interval"],) = _interval(means)
        labels = [BACKGROUND, *self.classes]
        result["confusion"] = {"labels": labels, "counts": pooled.tolist()}
        return result

    def _of_whole_images(self, counts, weights):
        """Scores by class that need images as a whole."""
        intervals = _interval(iou(np.tensordot(weights, counts, axes=1)))
        edges = np.array([image.edges for image in self.images])
        shared, either = np.moveaxis(np.tensordot(weights, edges, axes=1), 2, 0)
        objects = np.array([image.objects() for image in self.images])
        matched, predicted, true = np.moveaxis(
            np.tensordot(weights, objects, axes=1), 2, 0
        )
        # Resamples without an object, or without an edge.
        with np.errstate(invalid="ignore"):
            of_objects = _interval(2 * matched / (predicted + true))
            of_edges = _interval(shared / either)
        components = sum(image.components for image in self.images)
        return [
            {
                "iou_interval": interval,
                "boundary_iou": _ratio(*both.tolist()),
                "boundary_iou_interval": of_edge,
                "object_f1_interval": of_object,
                "object_f1_components": _f1(*three.tolist()),
            }
            for interval, both, of_edge, of_object, three in zip(
                intervals[1:],
                edges.sum(axis=0),
                of_edges,
                of_objects,
                components,
                strict=True,
            )
        ]

    def _counts(self):
        """int64, images x classes x classes."""
        return np.array([image.counts for image in self.images])

    def per_image(self):
        """IoU of each image and class: list of (name, {class: IoU})."""
        scores = iou(self._counts())
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

    def _resamples(self, seed):
        """For a bootstrap over images: how often each one is drawn.

        Returns:
            List of int64 arrays, one weight an image.
        """
        rng = np.random.default_rng(seed)
        total = len(self.images)
        chosen = rng.integers(0, total, (_RESAMPLES, total))
        return [np.bincount(row, minlength=total) for row in chosen]


class ImageCounts:
    """What ``Scores`` counts in one image, fed with its rows.

    Args:
        shape: (H, W) of the image.
        classes: foreground class names.
        heights: see ``Objects``.

    Attributes:
        counts: int64, classes x classes with the background; rows are the
            truth.
        entropy: sum over pixels, in nats.
        edges: int64, classes x 2: pixels that the two boundaries share, and
            that either has; None if the image came in pieces.
        components: int64, classes x 3, as of ``objects``, of the connected
            components on both sides; None if the image came in pieces.
    """

    def __init__(self, shape, classes, heights=None):
        self._total = len(classes) + 1
        self.counts = np.zeros((self._total, self._total), np.int64)
        self.entropy, self.edges, self.components = 0.0, None, None
        self._matches = [
            Matches(shape, height)
            for height in heights or [None] * len(classes)
        ]
        self._blocks = RowBlocks(_BLOCK, shape[0])
        self._shape = shape

    def add(self, truth, predicted, probability, known=None, objects=NOT_KNOWN):
        """Add the next rows, or all at once.

        Args:
            truth: uint8, h x W, class ids; ``UNKNOWN`` is not judged. A
                predicted object that lies mostly there is neither right nor
                wrong, see ``unet.scoring.objects.Matches``.
            predicted: uint8, h x W, class ids.
            probability: float, h x W x 1 or x classes.
            known: bool, h x W, False is not judged; None: all is.
            objects: ``Objects`` of these rows, of the same kind each time.
        """
        if known is None:
            known = np.ones(truth.shape, bool)
        rows = truth, predicted, probability, known, objects.true, objects.edge
        if len(truth) == self._shape[0]:
            self._blocks = None
            self._count(0, *rows)
            judged = known & (truth != UNKNOWN)
            self.edges = self._boundaries(truth, predicted, judged)
            self.components = self._of_components(truth, predicted, judged)
            return
        for top, block in self._blocks.add(*rows):
            self._count(top, *block)

    def _count(self, top, truth, predicted, probability, known, true, edge):
        judged = known & (truth != UNKNOWN)
        a, b = truth[judged], predicted[judged]
        self.counts += confusion(a, b, self._total, self._total)
        self.entropy += cross_entropy(a, probability[judged])
        for number, matches in enumerate(self._matches, start=1):
            several = probability.shape[-1] > 1
            matches.add(
                truth == number,
                predicted == number,
                probability[..., number if several else 0],
                top,
                Objects(true=true, edge=edge),
                judged,
            )

    def _of_components(self, truth, predicted, judged):
        counts = []
        for number in range(1, self._total):
            matches = Matches(self._shape)
            own = predicted == number
            matches.add(truth == number, own, own, 0, judged=judged)
            matches.close()
            counts.append(matches.counts())
        return np.array(counts)

    def _boundaries(self, truth, predicted, judged):
        """Boundary IoU, Cheng et al. 2021: a band of 2 % of the diagonal."""
        band = max(1, round(0.02 * float(np.hypot(*truth.shape))))
        edges = []
        for number in range(1, self._total):
            a, b = (
                boundary((ids == number) & judged, band, ~judged)
                for ids in (truth, predicted)
            )
            edges.append([np.sum(a & b), np.sum(a | b)])
        return np.array(edges, np.int64)

    def close(self):
        """Nothing follows.

        Raises:
            ValueError: rows of the image are missing.
        """
        if self._blocks:
            self._blocks.close()
        for matches in self._matches:
            matches.close()

    def objects(self):
        """int64, classes x 3: matches, predicted objects, true objects."""
        return np.array([matches.counts() for matches in self._matches])


def _interval(scores):
    """95 % of resampled scores, resamples x classes: [low, high] by class."""
    defined = [of_class[~np.isnan(of_class)] for of_class in scores.T]
    return [
        np.percentile(of_class, [2.5, 97.5]).tolist()
        if of_class.size
        else [None, None]
        for of_class in defined
    ]


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


def _of_objects(matches, predicted, true):
    return {
        "object_f1": _f1(matches, predicted, true),
        "objects": {"true": true, "predicted": predicted},
    }


def _f1(matches, predicted, true):
    return _ratio(2 * matches, predicted + true)


def _ratio(part, whole):
    return part / whole if whole else None


def _mean(scores):
    """Mean of what is not NaN, or NaN."""
    defined = scores[~np.isnan(scores)]
    return defined.mean() if defined.size else np.nan


def _number(value):
    return None if np.isnan(value) else float(value)


def has_background(summary):
    """Whether the background counts in the ``mean_iou`` of a summary."""
    counts = summary.get("confusion", {}).get("counts", [[1]])
    return any(counts[0])


def table(summary, threshold=None, other=None):
    """The scores as lines of text for the terminal.

    Args:
        summary: of ``Scores``.
        threshold, other: another threshold and the summary there, or None.
    """
    lines = []
    if "confusion" in summary:
        interval = _interval_text(summary.get("mean_iou_classes_interval"))
        mean = _text(summary["mean_iou_classes"])
        lines.append(f"mean IoU over classes  {mean}{interval}")
    for name, s in summary["classes"].items():
        interval = _interval_text(s.get("iou_interval"))
        lines.append(f"{name} IoU       {_text(s['iou'])}{interval}")
        lines += [
            f"  {label:<16}{_text(s[key])}{_interval_text(s.get(more))}"
            for label, key, more in (
                ("F1", "f1", ""),
                ("precision", "precision", ""),
                ("recall", "recall", ""),
                ("boundary IoU", "boundary_iou", "boundary_iou_interval"),
                ("object F1", "object_f1", "object_f1_interval"),
            )
            if key in s
        ]
    entropy = f"cross-entropy  {_text(summary['cross_entropy'])}"
    if has_background(summary):
        mean = _text(summary["mean_iou"])
        entropy = f"mean IoU with background  {mean}   {entropy}"
    lines.append(entropy)
    for name, s in other["classes"].items() if other else ():
        lines.append(f"{name} IoU       {_text(s['iou'])}  at {threshold:g}")
    return lines


def _interval_text(interval):
    low, high = interval or (None, None)
    return "" if low is None else f"  (95 %: {low:.3f} to {high:.3f})"


def _text(value):
    return "none" if value is None else f"{value:.4f}"
