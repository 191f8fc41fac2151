"""Trainings that are killed and resumed, and many processes at once."""

import io
import os
import random
import signal
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pandas as pd

from conftest import CODE, contents, make_tree
from holding.processes import (
    EARLIER,
    LOOK,
    MOST_MISSES,
    Trial,
    disturb,
    model,
)

SMALL = ("--size", 32, "--filters", 2, "--batch-size", 4, "--quiet")
EPOCHS, IMAGES = 6, 24
RUN, MODEL = "run", "my.keras"


def data_of(place):
    """A directory with train/ and test/."""
    make_tree(place / "train", IMAGES, seed=1)
    make_tree(place / "test", 3, seed=2)
    return place


def begin(words, cwd, cache):
    cwd.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "UNET_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def training(data):
    """The words of a command that trains."""
    options = ("--epochs", EPOCHS, "--patience", EPOCHS, "--model", MODEL)
    script = CODE / "train" / "train_unet.py"
    return (script, data, *SMALL, *options, "--out", RUN)


def resuming():
    return (CODE / "train" / "train_unet.py", "--resume", RUN, "--quiet")


def ended(process):
    """Wait for the end of a process; what it says if that is bad."""
    errors = process.communicate()[1]
    return "" if process.returncode == 0 else errors.strip()[-300:]


def learned(cwd):
    """The weights that a training has learned, and its log but the times."""
    with zipfile.ZipFile(cwd / RUN / "unet.keras") as archive:
        weights = archive.read("model.weights.h5")
    arrays = {}

    def keep(name, part):
        if isinstance(part, h5py.Dataset):
            arrays[name] = part[()]

    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems(keep)
    log = pd.read_csv(cwd / RUN / "log.csv").drop(columns="seconds")
    return arrays, log


def is_same(first, second):
    (arrays, log), (others, other_log) = first, second
    return (
        arrays.keys() == others.keys()
        and all(np.array_equal(arrays[k], others[k]) for k in arrays)
        and log.equals(other_log)
    )


def trials(count, seed, place):
    """Kill trainings at random moments, resume them, and compare.

    Yields:
        ``holding.processes.Trial``.
    """
    data, cache = data_of(place / "data"), place / "cache"
    right, seconds, first = reference(data, place / "whole", cache)
    for k in range(count):
        rng = random.Random(f"{seed}:{k}")
        for attempt in range(MOST_MISSES):
            cwd = place / f"{k}_{attempt}"
            moment, *_ = disturb(
                lambda cwd=cwd: begin(training(data), cwd, cache),
                lambda cwd=cwd: (cwd / RUN / "settings.json").exists(),
                signal.SIGKILL,
                seconds * EARLIER**attempt,
                first * EARLIER**attempt,
                rng,
            )
            if moment is not None:
                break
        else:
            raise RuntimeError("the training is always faster than its signal")
        yield Trial("training", moment, _resumed(data, cwd, cache, right))


def reference(data, cwd, cache):
    """(what an undisturbed run learns, its seconds, those to its start)."""
    start = time.monotonic()
    process = begin(training(data), cwd, cache)
    while not (cwd / RUN / "settings.json").exists():
        if process.poll() is not None:
            break
        time.sleep(LOOK)
    first = time.monotonic() - start
    errors = ended(process)
    if errors:
        raise RuntimeError(errors)
    return learned(cwd), time.monotonic() - start, first


def _resumed(data, cwd, cache, right):
    """How a training that is resumed differs from the right one, or ""."""
    began = (cwd / RUN / "settings.json").exists()
    again = begin(resuming() if began else training(data), cwd, cache)
    errors = ended(again)
    if errors and "came to its end" not in errors:
        return f"the second run said: {errors}"
    # At its end it is copied: a kill may come between, of which we are told.
    if not (errors or (cwd / MODEL).exists()):
        return "the model is not in its place"
    if not is_same(learned(cwd), right):
        return "other weights, or another log"
    hidden = [name for name in contents(cwd) if "/." in f"/{name}"]
    return f"left {hidden[0]}" if hidden else ""


def together(trainings, predictions, place):
    """Start trainings and predictions at once, on one cache, and compare.

    Yields:
        ``holding.processes.Trial``.
    """
    data = data_of(place / "data")
    model(place / "m.keras")
    predict = (CODE / "test" / "test.py", data / "train", "--model",
               place / "m.keras", "--out", "out", "--quiet")  # fmt: skip
    right, *_ = reference(data, place / "whole", place / "own_cache")
    errors = ended(begin(predict, place / "alone", place / "own_cache"))
    if errors:
        raise RuntimeError(errors)
    cache = place / "cache"
    start = time.monotonic()
    jobs = [("training", place / f"training_{k}", training(data))
            for k in range(trainings)]  # fmt: skip
    jobs += [("prediction", place / f"prediction_{k}", predict)
             for k in range(predictions)]  # fmt: skip
    started = [begin(words, cwd, cache) for _, cwd, words in jobs]
    for (name, cwd, _), process in zip(jobs, started, strict=True):
        reason = ended(process)
        if not reason and name == "training":
            reason = "" if is_same(learned(cwd), right) else "other weights"
        elif not reason and contents(cwd) != contents(place / "alone"):
            reason = "other results"
        yield Trial(name, time.monotonic() - start, reason)
    left = [path.name for path in cache.iterdir() if path.name[0] == "."]
    if left:
        yield Trial("the cache", time.monotonic() - start, f"left {left[0]}")
