"""Whether probabilities mean what they say, and where to cut them."""

import numpy as np

from unet.files.folders import UNKNOWN

# Probabilities are counted in hundredths, as float32, which is what they are.
_LEVELS = (np.arange(101) / 100).astype(np.float32)
_BINS = 20


class Reliability:
    """Counts pixels by predicted probability and truth.

    Args:
        classes: foreground class names in the order of their ids.

    Attributes:
        counts: int64, classes x 2 x 101: pixels that are of another class
            and of this one, by the hundredth that their probability reaches.
    """

    def __init__(self, classes):
        self.classes = list(classes)
        self.counts = np.zeros((len(classes), 2, len(_LEVELS)), np.int64)

    def add(self, truth, probability):
        """Add one image.

        Args:
            truth: uint8, H x W, class ids; ``UNKNOWN`` is left out.
            probability: float32, H x W x 1 (of class 1) or x classes.
        """
        judged = truth != UNKNOWN
        if not judged.all():
            truth, probability = truth[judged], probability[judged]
        first = 0 if probability.shape[-1] == 1 else 1
        for k in range(len(self.classes)):
            level = np.searchsorted(
                _LEVELS, probability[..., first + k].ravel(), side="right"
            )
            index = (level - 1).clip(0) + (truth.ravel() == k + 1) * 101
            counts = np.bincount(index, minlength=2 * 101)
            self.counts[k] += counts.reshape(2, 101)

    def best_threshold(self):
        """The threshold with the highest IoU, in hundredths.

        Returns:
            float from 0.01 to 0.99, of equals the one nearest to 0.5; None
            for several classes, which need no threshold, and where there is
            nothing to find.
        """
        if len(self.classes) > 1 or not self.counts[0, 1].any():
            return None
        # What reaches a level: invented below, found above.
        fp, tp = self.counts[0, :, ::-1].cumsum(axis=-1)[:, ::-1]
        iou = tp / (self.counts[0, 1].sum() + fp)
        order = sorted(range(1, 100), key=lambda k: (-iou[k], abs(k - 50)))
        return order[0] / 100

    def curve(self, number):
        """Observed against predicted, in twentieths.

        Args:
            number: of the class, from 0.

        Returns:
            (predicted, observed, pixels): float, float and int arrays;
            predicted is the mean of each bin to a hundredth, and both are
            NaN where the bin is empty.
        """
        counts = self.counts[number].copy()
        counts[:, -2] += counts[:, -1]  # exactly 1 belongs to the last bin
        parts = counts[:, :-1].reshape(2, _BINS, -1)
        pixels = parts.sum(axis=(0, 2))
        centres = (np.arange(100) + 0.5).reshape(_BINS, -1) / 100
        filled = np.where(pixels, pixels, np.nan)
        predicted = (parts.sum(axis=0) * centres).sum(axis=1) / filled
        return predicted, parts[1].sum(axis=1) / filled, pixels
