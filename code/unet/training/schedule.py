"""The learning rate of each epoch."""

import math

# On a plateau the rate is halved after so many epochs without a new best.
_PLATEAU = 2


def learning_rate(epoch, highest, schedule, warm_up, epochs, values=()):
    """The learning rate of an epoch.

    Args:
        epoch: its number, from 0.
        highest: the rate after the warm-up.
        schedule: ``"constant"``; ``"cosine"``: half a cosine from ``highest``
            in the first epoch after the warm-up towards 0 after the last
            (Loshchilov and Hutter 2017, without restarts); ``"plateau"``:
            halved whenever two epochs brought no new best.
        warm_up: epochs in which it rises in equal steps.
        epochs: most epochs of the training.
        values: what the validation said in the epochs before; higher is
            better.

    Returns:
        float.
    """
    if epoch < warm_up:
        return highest * (epoch + 1) / (warm_up + 1)
    if schedule == "cosine":
        done = (epoch - warm_up) / (epochs - warm_up)
        return highest * (1 + math.cos(math.pi * done)) / 2
    if schedule == "plateau":
        return highest / 2 ** _plateaus(values[warm_up:])
    return highest


def _plateaus(values):
    """How often ``_PLATEAU`` epochs in a row brought no new best."""
    count, waited, best = 0, 0, -math.inf
    for value in values:
        waited = 0 if value > best else waited + 1
        best = max(best, value)
        if waited == _PLATEAU:
            count, waited = count + 1, 0
    return count
