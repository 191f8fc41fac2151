"""Keras, imported once and quietly.

TensorFlow 2.21 writes several lines about oneDNN and CUDA to the terminal
from C++, whatever ``TF_CPP_MIN_LOG_LEVEL`` says. The import therefore runs
with the standard error stream held back; what was held back is shown when the
import fails, or at once if the user has chosen a log level of 0 or 1.

What TensorFlow reads in the environment is set here before, unless the user
has set it. Where TensorFlow is not installed and JAX is, Keras computes with
JAX; ``KERAS_BACKEND`` chooses where both are.
"""

import os
import re
import warnings
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

from unet.files.cores import usable_cores
from unet.files.quiet import held_back_stderr

# TensorFlow computes with oneDNN by itself only on processors with
# AVX512-VNNI or better; on others it trains 1.6 to 2 times as fast too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# By itself it knows the affinity, but not the quota of a container.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(usable_cores()))
if find_spec("tensorflow") is None and find_spec("jax") is not None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
# Keras asks for them where it counts pixels. JAX takes 32 bits and says so.
warnings.filterwarnings("ignore", "Explicitly requested dtype int64")

_TALKATIVE = os.environ["TF_CPP_MIN_LOG_LEVEL"] in ("0", "1")
with nullcontext() if _TALKATIVE else held_back_stderr():
    import keras

    # Looking for devices is what makes TensorFlow complain of a missing GPU.
    # JAX must not look before several hosts have met.
    if keras.config.backend() == "tensorflow":
        keras.distribution.list_devices()


def set_random_seed(seed):
    """What ``keras.utils.set_random_seed`` does, without a word.

    It imports TensorFlow where that is installed, with JAX as well.
    """
    with nullcontext() if _TALKATIVE else held_back_stderr():
        keras.utils.set_random_seed(seed)


def gpus():
    """The graphics cards that the backend computes on, a list of names."""
    # Asked for cards alone, JAX complains where there are none.
    every = keras.distribution.list_devices()
    return [name for name in every if not name.startswith("cpu")]


def half_precision():
    """The 16-bit type to compute in on this machine.

    GPUs have always had float16. Processors have bfloat16 or nothing: those
    with AVX512_BF16 or AMX train in it about 1.5 times as fast.
    """
    return "float16" if gpus() else "bfloat16"


def has_half_precision(cpuinfo=Path("/proc/cpuinfo")):
    """Whether this machine computes in 16 bits itself.

    A processor without bfloat16 imitates it, and trains in it ten times as
    slowly as in float32.

    Args:
        cpuinfo: where Linux says what the processor can do.

    Returns:
        bool; True where that is not known.
    """
    if half_precision() == "float16" or not cpuinfo.is_file():
        return True
    # "Features" on Arm.
    flags = re.search(r"^(flags|Features)\b.*", cpuinfo.read_text(), re.M)
    return not flags or any(
        word in ("avx512_bf16", "amx_bf16", "bf16")
        for word in flags.group().split()
    )


__all__ = [
    "gpus",
    "half_precision",
    "has_half_precision",
    "keras",
    "set_random_seed",
]
