"""Which predicted objects match true ones."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from unet.geometry.components import Components
from unet.geometry.scene_objects import SceneObjects

MATCH = 0.5  # IoU from which on two objects match
_NOT_JUDGED = -1  # among the numbers of true objects


@dataclass(frozen=True)
class Objects:
    """What is known of the objects in an image, or in rows of it.

    Attributes:
        heights: of each class: how predicted objects that touch come apart,
            see ``unet.geometry.separation.separate``; None: they do not.
        true: int32, H x W: which true object each pixel belongs to, as of
            ``unet.imagery.mask_values.read_truth``; None: not known, the
            connected components of the truth are.
        edge: float, H x W, the predicted probability that an object ends there;
            None: not known.
    """

    heights: list | None = None
    true: np.ndarray | None = None
    edge: np.ndarray | None = None


NOT_KNOWN = Objects()


class Matches:
    """Counts objects found, in an image that comes in blocks or at once.

    True objects are those that somebody drew, where that is known, else the
    connected components (8 neighbours) of the true mask. Predicted ones are
    those of ``unet.geometry.separation``. A true and a predicted one match
    when their IoU is 0.5 or more; pairs are made from the best one down, and
    nothing is in two of them.

    Of pixels that are not judged nobody knows what is there: they count in no
    IoU, and a predicted object without a match of which half or more lies
    there is not counted (a crowd of COCO).

    Args:
        shape: (H, W) of the image.
        height: how predicted objects that touch come apart, see
            ``unet.geometry.separation.separate``; None: they do not.
    """

    def __init__(self, shape, height=None):
        self.matched = self.predicted = self.true = 0
        self._objects = SceneObjects(shape, height)
        self._components = Components()
        self._same = {}  # of true components: what they turned out to be
        self._sizes = Counter()  # pixels by true object
        self._met = []  # (true object, predicted one, shared pixels)
        self._areas = []  # judged pixels of each predicted object
        self._beyond = set()  # predicted objects that mostly are not judged

    def add(
        self,
        truth,
        predicted,
        probability,
        top,
        objects=NOT_KNOWN,
        judged=None,
    ):
        """Add a block of rows.

        Args:
            truth, predicted: bool, h x W.
            probability: float, h x W.
            top: the block's first row.
            objects: ``Objects`` of these rows, of the same kind in each block.
            judged: bool, h x W; None: all pixels are.
        """
        if judged is not None:
            truth = truth & judged
        instances = objects.true
        if instances is None:
            labels, numbers, renamed, _ = self._components.add(truth)
            self._same.update((a, b) for a, b in renamed.items() if a != b)
            instances = numbers[labels]
        true = np.where(truth, instances, 0)
        self._sizes.update(_counted(true))
        if judged is not None:
            true[~judged] = _NOT_JUDGED
        parts = self._objects.add(
            predicted, probability, top, true, objects.edge
        )
        self._take(parts)

    def close(self):
        """Nothing follows."""
        self._take(self._objects.close())
        sizes, shared = Counter(), Counter()
        for number, pixels in self._sizes.items():
            sizes[self._final(number)] += pixels
        for true, predicted, pixels in self._met:
            shared[self._final(true), predicted] += pixels
        matched = _matched(shared, sizes, self._areas)
        left_out = self._beyond - matched
        self.true, self.matched = len(sizes), len(matched)
        self.predicted = len(self._areas) - len(left_out)

    def counts(self):
        """After ``close``: matches, predicted objects, true objects."""
        return self.matched, self.predicted, self.true

    def _final(self, number):
        while number in self._same:
            number = self._same[number]
        return number

    def _take(self, parts):
        for part in parts:
            number = len(self._areas)
            beyond = np.count_nonzero(part.values == _NOT_JUDGED)
            self._areas.append(part.pixels - beyond)
            if beyond >= MATCH * part.pixels:
                self._beyond.add(number)
            self._met += [
                (true, number, pixels)
                for true, pixels in _counted(part.values).items()
            ]


def match(true, predicted):
    """Count the objects of two maps of labels that match, see ``Matches``.

    Args:
        true, predicted: int, H x W, 0 is background.

    Returns:
        Matches, predicted objects, true objects.

    >>> match(np.array([[1, 1, 2, 2]]), np.array([[5, 5, 5, 0]]))
    (1, 1, 2)
    """
    sizes, areas = _counted(true), _counted(predicted)
    both = np.stack([true, predicted])[:, (true > 0) & (predicted > 0)]
    met, pixels = np.unique(both, axis=1, return_counts=True)
    shared = dict(zip(map(tuple, met.T.tolist()), pixels.tolist(), strict=True))
    return len(_matched(shared, sizes, areas)), len(areas), len(sizes)


def _matched(shared, sizes, areas):
    """The predicted objects of the pairs, made from the best one down: a set.

    Args:
        shared: dict from (true object, predicted one) to pixels.
        sizes, areas: pixels by true object, and by predicted one.
    """
    pairs = []
    for (true, predicted), pixels in shared.items():
        union = sizes[true] + areas[predicted] - pixels
        if pixels >= MATCH * union:
            pairs.append((-pixels / union, true, predicted))
    taken = set(), set()
    for _, true, predicted in sorted(pairs):
        if true not in taken[0] and predicted not in taken[1]:
            taken[0].add(true)
            taken[1].add(predicted)
    return taken[1]


def _counted(numbers):
    """How often each number but 0 occurs, a dict."""
    values, counts = np.unique(numbers[numbers > 0], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
