"""What ``fit`` needs: batches, metrics, and callbacks that lose nothing."""

import math

import numpy as np
import pandas as pd

from unet.backend import keras
from unet.folders import DataError, replacing, take_groups

# Early stopping counts epochs. With fewer steps than this in each of them a
# small data set would be given up before the network has moved, so small
# sets are passed over several times an epoch.
STEPS = 40


def channel_statistics(X, rows):
    """Mean and variance of each channel of images divided by 255.

    Args:
        X: uint8, N x H x W x 3.
        rows: the rows that count.

    Returns:
        (mean, variance): lists of three floats.
    """
    counts = np.zeros((3, 256), np.int64)
    for row in rows:
        for channel in range(3):
            values = X[row, ..., channel].ravel()
            counts[channel] += np.bincount(values, minlength=256)
    levels = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    variance = (share * (levels - mean[:, None]) ** 2).sum(axis=1)
    return mean.tolist(), variance.tolist()


def split_validation(groups, share, seed):
    """Choose the rows that validate, whole groups at a time.

    Args:
        groups: one group per row.
        share: of the rows.
        seed: of the choice.

    Returns:
        (training rows, validation rows): int arrays.

    Raises:
        DataError: nothing would be left on one side.
    """
    validates = take_groups(groups, share, seed)
    if not validates.any() or validates.all():
        raise DataError(
            f"validation {share:g}: expected at least one training and one "
            f"validation group, found {len(set(groups))} group(s) of "
            f"{len(groups)} image(s). Add images, or use finer groups."
        )
    return np.flatnonzero(~validates), np.flatnonzero(validates)


class Batches(keras.utils.PyDataset):
    """Batches of a data set, read from the memory-mapped arrays.

    The order of an epoch depends on the seed and the epoch's number alone,
    so that a resumed training goes on exactly as it would have.

    Args:
        X, Y: uint8, N x H x W x 3 and N x H x W.
        rows: the rows to use.
        batch_size: images a step.
        seed: of the order; None keeps the rows in theirs.
        passes: how often an epoch goes through the rows.
        epoch: number of the first epoch.
    """

    def __init__(self, X, Y, rows, batch_size, seed=None, passes=1, epoch=0):
        super().__init__()
        self.X, self.Y = X, Y
        self.rows, self.batch_size = rows, batch_size
        self.seed, self.passes, self.epoch = seed, passes, epoch
        self._shuffle()

    def _shuffle(self):
        self.order = self.rows
        if self.seed is not None:
            rng = np.random.default_rng([self.seed, self.epoch])
            rounds = [rng.permutation(self.rows) for _ in range(self.passes)]
            self.order = np.concatenate(rounds)

    def __len__(self):
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index):
        start = index * self.batch_size
        rows = self.order[start : start + self.batch_size]
        return self.X[rows], self.Y[rows][..., None]

    def on_epoch_end(self):
        self.epoch += 1
        self._shuffle()


def passes(rows, batch_size):
    """How often an epoch goes through the rows to have ``STEPS`` steps."""
    return math.ceil(STEPS / math.ceil(rows / batch_size))


def loss(classes):
    """Binary cross-entropy, or categorical for more than one class.

    Args:
        classes: foreground class names.
    """
    if len(classes) == 1:
        return "binary_crossentropy"
    # Categorical cross-entropy on class ids instead of one-hot labels.
    return "sparse_categorical_crossentropy"


def metric_name(classes):
    """Name of the metric that counts: IoU of what is looked for."""
    return f"{classes[0] if len(classes) == 1 else 'foreground'}_iou"


def metrics(classes):
    """Mean IoU and foreground IoU for the progress bar, as Keras metrics."""
    name = metric_name(classes)
    if len(classes) == 1:
        # MeanIoU would truncate the sigmoid's probabilities to zero.
        return [
            keras.metrics.BinaryIoU([0, 1], threshold=0.5, name="mean_iou"),
            keras.metrics.BinaryIoU([1], threshold=0.5, name=name),
        ]
    total = len(classes) + 1
    foreground = list(range(1, total))
    return [
        keras.metrics.MeanIoU(total, sparse_y_pred=False, name="mean_iou"),
        keras.metrics.IoU(total, foreground, sparse_y_pred=False, name=name),
    ]


class KeepBest(keras.callbacks.Callback):
    """Save the best model as it improves, stop when it no longer does.

    Everything it knows follows from the log, so that a resumed training
    remembers the best model and its patience.

    Args:
        save: function (epoch) that saves the current weights as the best.
        restore: function that puts the best weights back.
        monitor: column of the log, the higher the better.
        patience: epochs without a new best after which training ends.
        log: what is known of earlier epochs, a ``pandas.DataFrame``.
    """

    def __init__(self, save, restore, monitor, patience, log):
        super().__init__()
        self.save, self.restore = save, restore
        self.monitor, self.patience = monitor, patience
        self.values = log[monitor].tolist() if len(log) else []

    @property
    def best_epoch(self):
        """Number of the best epoch, from 0."""
        return int(np.argmax(self.values))

    @property
    def worn_out(self):
        """Whether patience is at its end."""
        return len(self.values) - 1 - self.best_epoch >= self.patience

    def on_epoch_end(self, epoch, logs=None):
        self.values.append(logs[self.monitor])
        if self.best_epoch == epoch:
            self.save(epoch)
        if self.worn_out:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.restore()


class KeepState(keras.callbacks.Callback):
    """Save weights, optimizer and random state after every epoch."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        with replacing(self.path) as temporary:
            self.model.save_weights(temporary)


def resume(model, path, log_path, steps):
    """Go back to the end of the last epoch that was saved.

    Args:
        model: compiled, of the same settings.
        path: file of ``KeepState``.
        log_path: CSV log; epochs after the saved one are cut off.
        steps: steps an epoch.

    Returns:
        Number of the next epoch; 0 if none had been finished.
    """
    if not path.exists():
        log_path.unlink(missing_ok=True)
        return 0
    model.optimizer.build(model.trainable_variables)
    model.load_weights(path)
    epoch = int(model.optimizer.iterations) // steps
    log = read_log(log_path)
    with replacing(log_path) as temporary:
        log[log["epoch"] < epoch].to_csv(temporary, index=False)
    return epoch


def read_log(path):
    """The CSV log as a ``pandas.DataFrame``; empty if there is none."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame()
