"""Trainings on several devices and by several processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from conftest import CODE, assert_refused, make_tree, run_script

with_jax = pytest.mark.skipif(
    find_spec("jax") is None, reason="JAX is not installed"
)
TRAIN = "train/train_unet.py"
SMALL = ["--size", 32, "--filters", 2, "--depth", 1, "--quiet"]
TIME = 400  # seconds a process may take on a busy machine


def environment(root, devices=1):
    """JAX that compiles fast, once for all processes, without TensorFlow."""
    (root / "path").mkdir(exist_ok=True)
    # Importing it takes each process seconds.
    (root / "path" / "tensorflow.py").write_text("raise ImportError\n")
    flags = (
        "--xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true "
        f"--xla_force_host_platform_device_count={devices}"
    )
    return {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": flags,
        "PYTHONPATH": os.pathsep.join([str(root / "path"), str(CODE)]),
        "JAX_COMPILATION_CACHE_DIR": str(root / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with data/ and with a run of one process, one/."""
    root = tmp_path_factory.mktemp("distributed")
    make_tree(root / "data" / "train", 13, seed=1)
    make_tree(root / "data" / "test", 2, seed=2)
    train(root, "one").check_returncode()
    return root


def train(root, name, *options, devices=1):
    words = [] if "--resume" in options else ["data", *SMALL, "--epochs", 2]
    words += ["--model", f"{name}.keras"]
    if "--resume" not in options:
        words += ["--out", name]
    env = environment(root, devices)
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
            env={**os.environ, **environment(root)},
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


def differences(root, first, second):
    """The largest difference of two logs, by their columns."""
    one, other = (
        pd.read_csv(root / run / "log.csv").drop(columns="seconds")
        for run in (first, second)
    )
    return (one - other[: len(one)]).abs().max()


def assert_same_losses(root, name, epochs=2):
    assert len(pd.read_csv(root / name / "log.csv")) == epochs
    assert differences(root, "one", name).max() < 1e-4


@with_jax
def test_two_devices_train_as_one_does(place):
    result = train(place, "two", "--devices", 2, devices=2)
    assert result.returncode == 0, result.stderr
    assert "2 devices: each computes 2 of the 4 images" in result.stdout
    assert_same_losses(place, "two")


@with_jax
def test_more_devices_than_there_are_and_odd_batches_are_refused(place):
    result = train(place, "many", "--devices", 3)
    assert_refused(result, "expected 3 devices", "found 1")
    words = ("--devices", 2, "--batch-size", 3)
    result = train(place, "odd", *words, devices=2)
    assert_refused(result, "batch size that 2 devices", "found 3")


@with_jax
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


@with_jax
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
    if killed:  # another number of hosts may go on
        train(place, "k", "--resume", run.name).check_returncode()
    else:
        first, second = ended(
            start(place, ["--resume", run.name, "--model", "k.keras"])
        )
        assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert len(pd.read_csv(run / "log.csv")) == 4
    assert (run / "summary.json").exists()


@with_jax
def test_hosts_with_other_options_are_refused(place):
    words = ["data", *SMALL, "--out", "other"]
    both = ended(start(place, words, [("--seed", 1), ("--seed", 2)]))
    for code, _, errors in both:
        assert code == 2
        assert "Traceback" not in errors
    lines = both[0][2] + both[1][2]
    assert "expected the same --seed as on host 0, 1, found 2" in lines


@with_jax
def test_a_missing_host_is_not_waited_for_for_ever(place):
    words = ("--hosts", 2, "--host", 0, "--host-timeout", 5)
    address = f"127.0.0.1:{free_port()}"
    result = train(place, "alone", *words, "--coordinator", address)
    assert_refused(result, "expected 2 hosts to meet at", "5 seconds")
    assert not (place / "alone").exists()


@with_jax
def test_a_dry_run_leaves_the_model_alone_on_jax(place):
    result = train(place, "dry", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert not (place / "dry.keras").exists()


@with_jax
def test_a_killed_training_goes_on_to_the_same_weights_on_jax(place):
    run = place / "resumed"
    process = subprocess.Popen(
        [
            *(sys.executable, CODE / TRAIN, "data", *map(str, SMALL)),
            *("--epochs", "2", "--out", run.name, "--model", "r.keras"),
        ],
        cwd=place,
        env={**os.environ, **environment(place)},
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


def test_two_devices_of_tensorflow_train_as_one_does(tmp_path):
    make_tree(tmp_path / "data" / "train", 11, seed=1)
    two = tmp_path / "two.py"
    two.write_text(
        "import runpy, sys, unet\n"
        "import tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "each = [tf.config.LogicalDeviceConfiguration()] * 2\n"
        "tf.config.set_logical_device_configuration(cpu, each)\n"
        "runpy.run_path(sys.argv.pop(1), run_name='__main__')\n"
    )
    # Validation has 3 images: a fourth must not count. Each device would clip
    # and drop out by itself.
    words = [CODE / TRAIN, "data", *SMALL, "--epochs", 2, "--validation", 0.3]
    words += ["--clip-norm", 0, "--dropout", 0]
    for devices in (1, 2):
        name = f"of{devices}"
        own = ["--devices", devices, "--out", name, "--model", f"{name}.keras"]
        result = run_script(two, *words, *own, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    assert "2 devices: each computes 2 of the 4 images" in result.stdout
    assert "8 images to learn from, 3 to validate" in result.stdout
    # The mean of the devices' losses is that of all images if they divide.
    assert differences(tmp_path, "of1", "of2").drop("val_loss").max() < 1e-4
