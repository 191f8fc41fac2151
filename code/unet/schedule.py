"""What changes from epoch to epoch: the learning rate, and the dropout.

Both follow from the epoch's number and the log alone, so that a resumed
training goes on exactly as it would have.
"""

import math
import time

from unet.backend import keras
from unet.model import FadingDropout

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


def callbacks(keeper, args):
    """What must be set before an epoch, and logged before the log is written.

    Args:
        keeper: the ``unet.training.Keeper`` of the run.
        args: the options of the training.
    """
    fading = args.dropout_kind == "fading"
    return [Pace(keeper, args), *([Fading(args.epochs)] if fading else [])]


class Pace(keras.callbacks.Callback):
    """Sets the learning rate of each epoch, and logs it and the seconds.

    Args:
        keeper: the ``unet.training.Keeper`` of the run.
        args: with ``learning_rate``, ``schedule``, ``warm_up`` and
            ``epochs``.
    """

    def __init__(self, keeper, args):
        super().__init__()
        self.keeper, self.args = keeper, args

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()
        args, log = self.args, self.keeper.log()
        name = f"val_{self.keeper.monitor}"
        self.rate = learning_rate(
            epoch,
            args.learning_rate,
            args.schedule,
            args.warm_up,
            args.epochs,
            log[name].tolist() if len(log) else [],
        )
        self.model.optimizer.learning_rate = self.rate

    def on_epoch_end(self, epoch, logs):
        logs["learning_rate"] = self.rate
        logs["seconds"] = round(time.monotonic() - self.started, 2)


class Fading(keras.callbacks.Callback):
    """Lets the dropout fall in a straight line, to 0 in the last epoch.

    Args:
        epochs: most epochs of the training.
    """

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        left = 1 - epoch / max(self.epochs - 1, 1)
        for layer in self.model.layers:
            if isinstance(layer, FadingDropout):
                layer.left.assign(left)
