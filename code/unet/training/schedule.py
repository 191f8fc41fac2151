"""The learning rate of each epoch."""

import math
from dataclasses import dataclass

# On a plateau the rate is halved after so many epochs without a new best.
_PLATEAU = 2


@dataclass(frozen=True)
class LearningRate:
    """How the learning rate goes through a training.

    Attributes:
        highest: the rate after the warm-up.
        schedule: ``"constant"``; ``"cosine"``: half a cosine from ``highest``
            in the first epoch after the warm-up towards 0 after the last
            (Loshchilov and Hutter 2017, without restarts); ``"plateau"``:
            halved whenever two epochs brought no new best.
        warm_up: epochs in which it rises in equal steps.
        epochs: most epochs of the training.
    """

    highest: float
    schedule: str
    warm_up: int
    epochs: int

    def at(self, epoch, scores=()):
        """The rate of an epoch.

        Args:
            epoch: its number, from 0.
            scores: of the validation in the epochs before; higher is better.

        Returns:
            float.
        """
        if epoch < self.warm_up:
            return self.highest * (epoch + 1) / (self.warm_up + 1)
        if self.schedule == "cosine":
            done = (epoch - self.warm_up) / (self.epochs - self.warm_up)
            return self.highest * (1 + math.cos(math.pi * done)) / 2
        if self.schedule == "plateau":
            return self.highest / 2 ** _plateaus(scores[self.warm_up :])
        return self.highest


def _plateaus(scores):
    """How often ``_PLATEAU`` epochs in a row brought no new best."""
    count, waited, best = 0, 0, -math.inf
    for score in scores:
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited == _PLATEAU:
            count, waited = count + 1, 0
    return count
