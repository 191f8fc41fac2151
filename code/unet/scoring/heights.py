"""How far objects of a class come apart: chosen on labelled images."""

import numpy as np

from unet.files.folders import UNKNOWN
from unet.scoring.objects import Matches, Objects

# Pixels of the network's input; 0 stands for no separation. The large ones are
# for networks that see 256 pixels and have learned the borders of objects.
GRID = (0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 6, 8, 12)


def countable(samples, classes):
    """The classes of which some image has several objects, a mask each.

    A surface (a road, water) is drawn as one mask an image.

    Args:
        samples: list of labelled ``unet.files.folders.Sample``.
        classes: foreground class names.

    Returns:
        List of class names.
    """
    return [
        name
        for name in classes
        if any(len(sample.masks.get(name, [])) > 1 for sample in samples)
    ]


class HeightChoice:
    """Scores objects at every height of a grid.

    Args:
        classes: foreground class names in the order of their ids.
        countable: those to choose a height for.

    Attributes:
        counts: dict from a class to int64, heights x 3: matches, predicted
            objects and true ones, pooled over the images.
    """

    def __init__(self, classes, countable):
        self._numbers = {name: classes.index(name) + 1 for name in countable}
        self.counts = {
            name: np.zeros((len(GRID), 3), np.int64) for name in countable
        }

    def add(self, truth, strip, scale):
        """Add one image.

        Args:
            truth: ``unet.imagery.mask_values.Truth``.
            strip: the prediction of the whole image, as of
                ``unet.prediction.strip``.
            scale: pixels of the network's input for a pixel of the image.
        """
        several = strip.probability.shape[-1] > 1
        known = Objects(true=truth.instances, edge=strip.edge)
        judged = truth.ids != UNKNOWN
        for name, number in self._numbers.items():
            own = strip.probability[..., number if several else 0]
            masks = truth.ids == number, strip.ids == number
            for counts, height in zip(self.counts[name], GRID, strict=True):
                matches = Matches(strip.ids.shape, height / scale or None)
                matches.add(*masks, own, 0, known, judged)
                matches.close()
                counts += matches.counts()

    def best(self):
        """Dict from a class to the height with the highest object F1.

        Of equal ones the middle one is taken: it is farthest from those that
        are worse. A class whose objects are best left together is not in it.
        """
        best = {}
        for name, counts in self.counts.items():
            matched, predicted, true = counts.T
            f1 = 2 * matched / np.maximum(predicted + true, 1)
            highest = np.flatnonzero(f1 == f1.max())
            height = GRID[highest[len(highest) // 2]]
            if height and 0 not in highest:
                best[name] = height
        return best
