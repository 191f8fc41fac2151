"""What an epoch takes beside its steps, with and without batch normalisation.

Keras hands a data set with one worker to tf.data, whose autotuning thread
sleeps for 10 ms, then 20, 40 ... and is waited for when an epoch ends; with
two workers it is left out. Both are timed in one run, on arrays of noise.

    python tests/benchmarks/epochs.py
"""

import argparse
import time

import numpy as np
import pandas as pd

from unet.network.backend import keras
from unet.network.model import build_unet
from unet.training.batches import Batches


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, and of its steps alone."""

    def __init__(self):
        super().__init__()
        self.epochs, self.steps = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.began, self.spent = time.perf_counter(), 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.step = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.spent += time.perf_counter() - self.step

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(time.perf_counter() - self.began)
        self.steps.append(self.spent)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=720)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=16)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (args.images, 128, 128, 3), np.uint8)
    Y = rng.integers(0, 2, (args.images, 128, 128), np.uint8)
    rows = []
    for batch_norm in (False, True):
        for workers in (1, 2):
            batches = Batches(X, Y, np.arange(args.images), args.batch_size, 0)
            batches.workers = workers
            model = build_unet(batch_norm=batch_norm)
            model.compile("adam", "binary_crossentropy")
            clock = Clock()
            model.fit(
                batches,
                epochs=args.epochs,
                shuffle=False,
                verbose=0,
                callbacks=[clock],
            )
            # The first epoch traces the graph.
            rows.append(
                {
                    "batch normalisation": batch_norm,
                    "workers": workers,
                    "seconds an epoch": np.median(clock.epochs[1:]),
                    "in its steps": np.median(clock.steps[1:]),
                }
            )
            print(pd.DataFrame(rows[-1:]).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
