"""Keras, imported once and quietly.

TensorFlow 2.21 writes several lines about oneDNN and CUDA to the terminal
from C++, whatever ``TF_CPP_MIN_LOG_LEVEL`` says. The import therefore runs
with the standard error stream held back; what was held back is shown when the
import fails, or at once if the user has chosen a log level of 0 or 1.
"""

import os
import sys
import tempfile
from contextlib import contextmanager


@contextmanager
def _held_back_stderr():
    """Hold back what native code writes to standard error."""
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] in ("0", "1"):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


with _held_back_stderr():
    import keras

    # Looking for devices is what makes TensorFlow complain of a missing GPU.
    keras.distribution.list_devices()


def half_precision():
    """The 16-bit type to compute in on this machine.

    GPUs have always had float16. Processors have bfloat16 or nothing: those
    with AVX512_BF16 or AMX train in it about 1.5 times as fast.
    """
    gpu = keras.distribution.list_devices("gpu")
    return "float16" if gpu else "bfloat16"


__all__ = ["half_precision", "keras"]
