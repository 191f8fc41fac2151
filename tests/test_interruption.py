"""Ctrl-C loses nothing, and a resumed run ends as if nothing had been."""

import os
import signal
import subprocess
import sys
import time

import numpy as np

from conftest import CODE, interruptible, make_tree, run_script
from test_train_unet import SMALL, TRAIN
from unet.network.backend import keras

WORDS = [*SMALL, "--epochs", 6, "--patience", 6, "--model", "my.keras"]
WORDS += ["--out", "run"]


def start(data, cwd):
    return subprocess.Popen(
        [sys.executable, *map(str, [CODE / TRAIN, data, *WORDS])],
        cwd=cwd,
        env=os.environ,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )


def test_interrupted_run_keeps_its_best_model_and_goes_on(tmp_path):
    make_tree(tmp_path / "train", 40)
    whole = tmp_path / "whole"
    broken = tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    result = run_script(TRAIN, tmp_path, *WORDS, cwd=whole)
    assert result.returncode == 0, result.stderr

    process = start(tmp_path, broken)
    state = broken / "run" / "state.weights.h5"
    while not state.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    errors = process.stderr.read()
    assert "Traceback" not in errors
    assert "--resume" in errors
    keras.models.load_model(broken / "run" / "unet.keras")
    assert not (broken / "my.keras").exists()

    result = run_script(
        TRAIN, "--resume", "run", "--model", "ignored.keras", cwd=broken
    )
    assert result.returncode == 0, result.stderr
    first, second = (
        keras.models.load_model(place / "my.keras").get_weights()
        for place in (whole, broken)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    again = run_script(TRAIN, "--resume", "run", cwd=broken)
    assert again.returncode == 2
    # A kill may have come before the model was copied.
    assert "came to its end, with the model run/unet.keras." in again.stderr
