"""What augmentation costs beside a training step of the default network.

Both are timed in turn in one run. Printed is, for each level, the time that
one thread needs to augment a batch, as a share of the time that the network
needs to train on it.

    python tests/benchmarks/augmentation.py
"""

import argparse
import os
import time

import cv2
import numpy as np

from unet.network.model import build_unet
from unet.training.augmentation import LEVELS, Augmentation


def make(count, size):
    """Pairs with the texture of photos; blobs as masks."""
    rng = np.random.default_rng(0)
    X = np.empty((count, size, size, 3), np.uint8)
    Y = np.empty((count, size, size), np.uint8)
    for image, ids in zip(X, Y, strict=True):
        coarse = rng.integers(0, 240, (size // 4, size // 4, 3))
        image[:] = cv2.resize(coarse.astype(np.uint8), (size, size))
        image += rng.integers(0, 12, image.shape).astype(np.uint8)
        ids[:] = image[..., 1] > 130
    return X, Y


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    X, Y = make(args.batch_size, args.size)
    model = build_unet((args.size, args.size))
    model.compile("adam", "binary_crossentropy")
    rng = np.random.default_rng(0)
    model.train_on_batch(X, Y[..., None])  # traces the graph
    steps = []
    times = {level: [] for level in LEVELS}
    for _ in range(args.repeats):
        steps.append(seconds(model.train_on_batch, X, Y[..., None]))
        for level in LEVELS:
            # More than once: what a batch draws differs.
            runs = [seconds(Augmentation(level), X, Y, rng) for _ in range(5)]
            times[level] += runs
    step = np.median(steps)
    print(
        f"batches of {args.batch_size} images of {args.size} px, "
        f"{os.cpu_count()} cores; a training step takes {step * 1000:.0f} ms"
    )
    for level, values in times.items():
        middle = np.median(values)
        print(
            f"{level:>9} {middle * 1000:6.2f} ms, {middle / step:.1%} of a step"
        )


if __name__ == "__main__":
    main()
