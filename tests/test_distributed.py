"""Trainings on several devices and by several processes, with JAX."""

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from conftest import CODE, assert_refused, make_tree, run_script

pytest.importorskip("jax", reason="JAX is not installed")

TRAIN = "train/train_unet.py"
SMALL = ["--size", 32, "--filters", 2, "--depth", 1, "--quiet"]
TIME = 400  # seconds a process may take on a busy machine


def environment(cache, devices=1):
    """JAX that compiles fast, and once for all processes of the tests."""
    flags = (
        "--xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true "
        f"--xla_force_host_platform_device_count={devices}"
    )
    return {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": flags,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with data/ and with a run of one process, one/."""
    root = tmp_path_factory.mktemp("distributed")
    make_tree(root / "data" / "train", 12, seed=1)
    make_tree(root / "data" / "test", 2, seed=2)
    train(root, "one").check_returncode()
    return root


def train(root, name, *options, devices=1):
    words = [] if "--resume" in options else ["data", *SMALL, "--epochs", 2]
    words += ["--model", f"{name}.keras"]
    if "--resume" not in options:
        words += ["--out", name]
    env = environment(root / "compiled", devices)
    return run_script(TRAIN, *words, *options, cwd=root, env=env, timeout=TIME)


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


def start(root, words, own=((), ()), wait=100):
    """Start two processes that train together."""
    address = f"127.0.0.1:{free_port()}"
    common = ["--hosts", 2, "--coordinator", address, "--host-timeout", wait]
    return [
        subprocess.Popen(
            [
                *(sys.executable, CODE / TRAIN, *map(str, words)),
                *map(str, [*common, "--host", number, *own[number]]),
            ],
            cwd=root,
            env={**os.environ, **environment(root / "compiled")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]


def ended(processes):
    """(code, stdout, stderr) of each, all of which end in time."""
    try:
        texts = [process.communicate(timeout=TIME) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        (process.returncode, *text)
        for process, text in zip(processes, texts, strict=True)
    ]


def assert_same_losses(root, name, epochs=2):
    one, other = (
        pd.read_csv(root / run / "log.csv").drop(columns="seconds")
        for run in ("one", name)
    )
    assert len(other) == epochs
    assert (one - other[:2]).abs().to_numpy().max() < 1e-4


def test_two_devices_train_as_one_does(place):
    result = train(place, "two", "--devices", 2, devices=2)
    assert result.returncode == 0, result.stderr
    assert "2 devices: each computes 2 of the 4 images" in result.stdout
    assert_same_losses(place, "two")


def test_more_devices_than_there_are_and_odd_batches_are_refused(place):
    result = train(place, "many", "--devices", 3)
    assert_refused(result, "expected 3 devices", "found 1")
    words = ("--devices", 2, "--batch-size", 3)
    result = train(place, "odd", *words, devices=2)
    assert_refused(result, "batch size that 2 devices", "found 3")


def test_two_processes_train_as_one_does_and_the_first_writes(place):
    words = ["data", *SMALL, "--epochs", 2]
    own = [
        ("--out", f"together{number}", "--model", f"together{number}.keras")
        for number in (0, 1)
    ]
    first, second = ended(start(place, words, own))
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "2 devices on 2 hosts" in first[1]
    assert second[1] == ""
    assert_same_losses(place, "together0")
    assert (place / "together0.keras").exists()
    assert not list(place.glob("together1*"))


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_other_and_both_go_on(place, killed):
    run = place / f"killed{killed}"
    words = ["data", *SMALL, "--epochs", 4, "--out", run.name]
    both = start(place, [*words, "--model", "k.keras"])
    deadline = time.monotonic() + TIME
    while not (run / "state.weights.h5").exists():
        assert time.monotonic() < deadline
        assert both[0].poll() is None, both[0].stderr.read()
        time.sleep(0.1)
    both[killed].send_signal(signal.SIGKILL)
    other = ended(both)[1 - killed]
    assert other[0] == 2, other[2]
    assert "another host has ended" in other[2]
    assert "Traceback" not in other[2]
    if killed:
        return  # going on is the same
    first, second = ended(
        start(place, ["--resume", run.name, "--model", "k.keras"])
    )
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert len(pd.read_csv(run / "log.csv")) == 4
    assert (run / "summary.json").exists()


def test_hosts_with_other_options_are_refused(place):
    words = ["data", *SMALL, "--out", "other"]
    both = ended(start(place, words, [("--seed", 1), ("--seed", 2)]))
    for code, _, errors in both:
        assert code == 2
        assert "Traceback" not in errors
    lines = both[0][2] + both[1][2]
    assert "expected the same --seed as on host 0, 1, found 2" in lines


def test_a_missing_host_is_not_waited_for_for_ever(place):
    words = ("--hosts", 2, "--host", 0, "--host-timeout", 5)
    address = f"127.0.0.1:{free_port()}"
    result = train(place, "alone", *words, "--coordinator", address)
    assert_refused(result, "expected 2 hosts to meet at", "5 seconds")
    assert not (place / "alone").exists()


def test_a_dry_run_leaves_the_model_alone_on_jax(place):
    result = train(place, "dry", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert not (place / "dry.keras").exists()


def test_a_killed_training_goes_on_to_the_same_weights_on_jax(place):
    run = place / "resumed"
    process = subprocess.Popen(
        [
            *(sys.executable, CODE / TRAIN, "data", *map(str, SMALL)),
            *("--epochs", "2", "--out", run.name, "--model", "r.keras"),
        ],
        cwd=place,
        env={**os.environ, **environment(place / "compiled")},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + TIME
    while not (run / "state.weights.h5").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    train(place, "resumed", "--resume", run.name).check_returncode()
    assert_same_losses(place, "resumed")
    from unet.network.model import load

    one, other = (
        load(place / name / "unet.keras").get_weights()
        for name in ("one", "resumed")
    )
    assert all(map(np.array_equal, one, other))
