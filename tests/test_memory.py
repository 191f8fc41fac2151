"""What a process does with memory that was freed."""

import ctypes
import os
import subprocess
import sys

import pytest

from unet.files.memory import KEEPING

# Two threads take 26 MB, one after the other. The first gives all back but
# its last piece, and is not over when the second takes its share.
TWO_THREADS = """
import threading
from pathlib import Path
import psutil
from unet.files.memory import return_freed_memory

{call}
first, second = threading.Event(), threading.Event()
kept = []

def take():
    pieces = [bytearray(b"1" * 65536) for _ in range(400)]
    kept.append(pieces.pop())

def begin():
    take()
    first.set()
    second.wait()

thread = threading.Thread(target=begin)
thread.start()
first.wait()
before = psutil.Process().memory_info().rss
other = threading.Thread(target=take)
other.start()
other.join()
print((psutil.Process().memory_info().rss - before) / 1e6)
second.set()
"""


# The second array lies below a small one. By itself glibc takes it from a pool,
# because the first one has taught it that such arrays come and go.
LARGE_ARRAY = """
import psutil
from unet.files.memory import return_freed_memory

{call}
size = 20 * 2**20
array = bytearray(size)
del array
before = psutil.Process().memory_info().rss
array = bytearray(b"1") * size
small = [bytearray(100_000) for _ in range(20)]
del array
print((psutil.Process().memory_info().rss - before) / 1e6)
"""


# All pieces but the last one are freed, and lie below it.
PIECES = """
import psutil
from unet.files.memory import trim_memory

before = psutil.Process().memory_info().rss
pieces = [bytearray(b"1" * 65536) for _ in range(400)]
last = pieces.pop()
del pieces
{call}
print((psutil.Process().memory_info().rss - before) / 1e6)
"""

# What was allocated last is freed.
LATEST = """
import psutil
from unet.files.memory import return_freed_memory

{call}
before = psutil.Process().memory_info().rss
pieces = [bytearray(b"1" * 65536) for _ in range(400)]
del pieces
print((psutil.Process().memory_info().rss - before) / 1e6)
"""


def growth(code, call, **chosen):
    """Megabytes that a program's process has at its end, in addition."""
    command = [sys.executable, "-c", code.format(call=call)]
    result = subprocess.run(
        command, check=True, capture_output=True, env=os.environ | chosen
    )
    return float(result.stdout)


pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="memory is not given by glibc",
)


@pytest.mark.parametrize("code", [TWO_THREADS, LARGE_ARRAY])
def test_freed_memory_is_used_again_or_returned(code):
    assert growth(code, "") > 15
    assert growth(code, "return_freed_memory()") < 6


def test_little_is_kept_unless_the_user_wants_otherwise():
    call, own = "return_freed_memory()", {"MALLOC_TRIM_THRESHOLD_": "131072"}
    assert growth(LATEST, "") < 6
    assert 15 < growth(LATEST, call) < 33
    assert growth(LATEST, call, **own) < 6


def test_what_lies_free_between_arrays_is_given_back():
    assert growth(PIECES, "") > 15
    assert growth(PIECES, "trim_memory()") < 6
    assert growth(PIECES, "trim_memory()", **KEEPING) > 15
