"""Batches of a data set, in an order that a resumed training repeats."""

import math

import numpy as np

from unet.files.folders import UNKNOWN
from unet.geometry.seams import seams
from unet.network.backend import keras
from unet.training.array_files import ROWS_AT_ONCE, let_go
from unet.training.devices import ONE

# Early stopping counts epochs. With far fewer steps than this in each a
# small data set would be given up before the network has moved, so small
# sets are passed over several times an epoch. With two passes of 19 steps
# instead of three the sample's building IoU fell from 0.745 to 0.718.
STEPS = 40
# Threads that make batches: they keep ahead of the network on two cores. With
# one, Keras 3.15 leaves them to tf.data's autotuning, whose thread sleeps for
# 10 ms, then 20, 40 ... and is waited for when an epoch ends: epochs took
# 10.2, 20.5 or 41 s and nothing between, whatever the network needed.
_WORKERS = 2


class Batches(keras.utils.PyDataset):
    """Batches of a data set, read from the memory-mapped arrays.

    The order of an epoch and what augmentation makes of a batch depend on
    the seed, the epoch's number and the batch's alone, so that a resumed
    training goes on exactly as it would have.

    Args:
        X, Y: uint8 or uint16, N x H x W x bands, and uint8, N x H x W.
        rows: the rows to use.
        batch_size: images a step.
        seed: of the order; without it each epoch is one pass in the rows'
            own order.
        augment: function ``(X, Y, rng)`` of the arrays of a batch and a
            ``numpy.random.Generator`` that returns changed copies of both.
            It runs in threads while the network computes.
        instances: uint16, N x H x W: which object each pixel belongs to, for
            a network that learns seams as well; None: for one that does not.
        devices: ``unet.training.devices.Devices`` that share each batch;
            None: there is one.
    """

    def __init__(
        self,
        X,
        Y,
        rows,
        batch_size,
        seed=None,
        augment=None,
        instances=None,
        devices=None,
    ):
        super().__init__(workers=_WORKERS)
        self.augment, self.instances = augment, instances
        self.devices = devices or ONE
        self.X, self.Y = X, Y
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        steps = math.ceil(len(rows) / batch_size)
        self.passes = math.ceil(STEPS / steps)
        self.start_at(0)

    def start_at(self, epoch):
        """Make the order of an epoch."""
        self.epoch, self.order = epoch, self.rows
        if self.seed is not None:
            rng = np.random.default_rng([self.seed, epoch])
            rounds = [rng.permutation(self.rows) for _ in range(self.passes)]
            self.order = np.concatenate(rounds)

    def __len__(self):
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index):
        start = index * self.batch_size
        rows = self.order[start : start + self.batch_size]
        if index % max(ROWS_AT_ONCE // self.batch_size, 1) == 0:
            let_go(self.X, self.Y)
            if self.instances is not None:
                let_go(self.instances)
        part = self.devices.part(len(rows))
        x, y = self._read(rows[part])
        if self.augment:
            rng = np.random.default_rng([self.seed, self.epoch, index])
            x, y = self._augmented(x, y, part, len(rows), rng)
        x, y = self.devices.filled(x, y)
        if self.instances is None:
            return self.devices.place((x, y[..., None]), len(rows))
        ids = y[..., 0]
        pairs = zip(y[..., 1], ids == UNKNOWN, strict=True)
        drawn = np.stack([seams(own, ignored) for own, ignored in pairs])
        truth = ids[..., None].astype(np.uint8), drawn
        return self.devices.place((x, truth), len(rows))

    def _read(self, rows):
        """Images, and ids or pairs of id and object."""
        x, y = self.X[rows], self.Y[rows]
        if self.instances is not None:
            y = np.stack([y, self.instances[rows]], axis=-1)
        return x, y

    def _augmented(self, x, y, part, images, rng):
        """A part of a batch as the augmentation of the whole would show it.

        What is drawn for an image depends on how many came before it, not on
        what they show: those of other hosts are black.
        """
        if len(x) == images:
            return self.augment(x, y, rng)
        every = [np.zeros((images, *a.shape[1:]), a.dtype) for a in (x, y)]
        every[0][part], every[1][part] = x, y
        x, y = self.augment(*every, rng)
        return x[part], y[part]

    def on_epoch_end(self):
        self.start_at(self.epoch + 1)
