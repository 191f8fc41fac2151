"""What TensorFlow is told before it is imported."""

import os
import subprocess
import sys

import pytest

from unet.network import backend

TRAINING = """
import hashlib, os
import numpy as np
from unet.network.backend import keras
from unet.network.model import build_unet

keras.utils.set_random_seed(3)
model = build_unet((32, 32), filters=4, depth=2)
model.compile("adam", "binary_crossentropy")
rng = np.random.default_rng(3)
x = rng.integers(0, 256, (12, 32, 32, 3)).astype("float32")
y = rng.integers(0, 2, (12, 32, 32, 1)).astype("float32")
model.fit(x, y, batch_size=4, epochs=2, verbose=0)
weights = b"".join(w.tobytes() for w in model.get_weights())
print(os.environ["TF_ENABLE_ONEDNN_OPTS"], hashlib.sha256(weights).hexdigest())
"""
SETTINGS = """
import os, sys
from unittest.mock import MagicMock
sys.modules["keras"] = MagicMock()  # takes seconds, and says nothing here
import unet.network.backend
print(os.environ["TF_ENABLE_ONEDNN_OPTS"], os.environ["TF_NUM_INTRAOP_THREADS"])
"""
NAMES = ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS")


def run_code(code, **variables):
    """The words that a new process prints, without what was set in this."""
    kept = {k: v for k, v in os.environ.items() if k not in NAMES}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.split()


def test_two_trainings_with_onednn_end_in_the_same_bits():
    first, second = run_code(TRAINING), run_code(TRAINING)
    assert first[0] == "1"
    assert first == second


def test_what_the_user_has_set_is_kept():
    variables = {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_NUM_INTRAOP_THREADS": "7"}
    assert run_code(SETTINGS, **variables) == ["0", "7"]


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="no affinity on this system"
)
def test_tensorflow_has_as_many_threads_as_the_process_has_cores():
    core = min(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, [{core}])\n{SETTINGS}"
    assert run_code(code) == ["1", "1"]


CPUINFO = "processor\t: 0\n{}\t\t: fpu {}\nbugs\t\t: avx512_bf16\n"


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(backend.keras.distribution, "list_devices", lambda: [])


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("name", "flags", "has"),
    [
        ("flags", "avx2 avx512_bf16 fsrm", True),
        ("flags", "avx512_vnni amx_bf16 amx_tile", True),
        ("flags", "avx2 avx512f avx512_vnni", False),
        ("Features", "asimd bf16 i8mm", True),
        ("Features", "asimd asimddp", False),
        ("isa", "rv64imafdc", True),
    ],
)
def test_a_processor_has_bfloat16_or_not(tmp_path, name, flags, has):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO.format(name, flags))
    assert backend.has_half_precision(cpuinfo) == has


@pytest.mark.usefixtures("no_gpu")
def test_a_processor_that_does_not_tell_is_believed(tmp_path):
    assert backend.has_half_precision(tmp_path / "cpuinfo")


def test_every_gpu_has_half_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(
        backend.keras.distribution, "list_devices", lambda: ["gpu:0"]
    )
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO.format("flags", "avx2"))
    assert backend.has_half_precision(cpuinfo)
