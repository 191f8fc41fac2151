"""A training on 200,000 tiles: memory, and images a second beside 700.

The arrays of the cache are made without files of images: holes of the disk,
which are read like any other pages, and every tenth tile has an object. Two
processes take turns, one with few tiles and one with many. Each looks at all
tiles as train_unet.py does, divides them, trains some steps of the article's
network, and reads one whole epoch. Printed are seconds, images a second, and
the most memory that was resident, pages of files included.

    python tests/benchmarks/large.py
    python tests/benchmarks/large.py --many 20000 --steps 20
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

CODE = Path(__file__).resolve().parents[2] / "code"

SIDE, BATCH = 128, 4


def arrays(folder, count):
    """X and Y in files with holes, read as those of the cache are."""
    for name, shape in (
        ("X", (count, SIDE, SIDE, 3)),
        ("Y", (count, SIDE, SIDE)),
    ):
        made = np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.uint8, shape
        )
        made[::10, 40:80, 40:80] = 1
        del made
    return [np.load(folder / f"{n}.npy", mmap_mode="r") for n in "XY"]


def measure(folder, count, steps):
    """What a training does with so many tiles, in this process."""
    from unet.files import splits
    from unet.imagery.bands import Bands
    from unet.network.model import build_unet
    from unet.training import fitting
    from unet.training.augmentation import Augmentation
    from unet.training.batches import Batches
    from unet.training.dataset import Dataset

    taken = {}
    started = time.monotonic()
    X, Y = arrays(folder, count)
    names = [f"Folder_{k}" for k in range(count)]
    data = Dataset(
        X, Y, names, [(SIDE, SIDE)] * count, ["building"], "none",
        [None] * count, "", Bands(),
    )  # fmt: skip
    data.class_shares()
    rows, _ = splits.split_validation(
        names, 0.1, data.has_object(), data.traits()
    )
    mean, variance = fitting.input_statistics(X, rows, "centred")
    taken["seconds to look at all"] = time.monotonic() - started
    started = time.monotonic()
    batches = Batches(X, Y, rows, BATCH, 1, Augmentation("flips"))
    taken["seconds to shuffle"] = time.monotonic() - started
    model = build_unet((SIDE, SIDE), ["building"], mean=mean, variance=variance)
    model.compile(
        optimizer=fitting.optimizer(1e-3),
        loss="binary_crossentropy",
        metrics=fitting.metrics(["building"]),
    )
    how = {"shuffle": False, "steps_per_epoch": steps, "verbose": 0}
    model.fit(batches, epochs=1, **how)
    started = time.monotonic()
    model.fit(batches, epochs=1, **how)
    taken["images a second"] = steps * BATCH / (time.monotonic() - started)
    plain = Batches(X, Y, rows, BATCH, 1)
    started = time.monotonic()
    for number in range(len(plain)):
        plain[number]
    taken["images a second, read alone"] = len(plain.order) / (
        time.monotonic() - started
    )
    status = Path("/proc/self/status").read_text()
    peak = next(row for row in status.splitlines() if row.startswith("VmHWM"))
    taken["GB resident at most"] = int(peak.split()[1]) / 1e6
    return taken


def main():
    """Measure both numbers of tiles, in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--few", type=int, default=700)
    parser.add_argument("--many", type=int, default=200_000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        with tempfile.TemporaryDirectory(prefix="large-") as folder:
            print(json.dumps(measure(Path(folder), args.only, args.steps)))
        return
    counts = (args.few, args.many)
    measured = {count: [] for count in counts}
    for count in tqdm([*counts] * args.rounds):
        words = [__file__, "--only", count, "--steps", args.steps]
        result = subprocess.run(
            [sys.executable, *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(CODE)},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        measured[count].append(json.loads(result.stdout.splitlines()[-1]))
    print(f"| median of {args.rounds} | {args.few:,} tiles | {args.many:,} |")
    print("|---|---|---|")
    for name in measured[args.few][0]:
        both = [
            statistics.median(taken[name] for taken in measured[count])
            for count in counts
        ]
        print(f"| {name} | {both[0]:.3g} | {both[1]:.3g} |")


if __name__ == "__main__":
    main()
