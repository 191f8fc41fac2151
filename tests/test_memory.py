"""What a process does with memory that was freed."""

import ctypes
import subprocess
import sys

import pytest

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


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="memory is not given by glibc",
)
def test_threads_use_what_others_have_freed():
    more = [
        float(
            subprocess.run(
                [sys.executable, "-c", TWO_THREADS.format(call=call)],
                check=True,
                capture_output=True,
            ).stdout
        )
        for call in ("", "return_freed_memory()")
    ]
    assert more[0] > 20
    assert more[1] < 5
