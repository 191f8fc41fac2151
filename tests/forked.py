"""Scripts in processes of their own, forked off one that has imported Keras.

Python takes seconds of processor time to import TensorFlow, and hundreds of
tests run a script. The libraries are therefore imported once, in a process
that does nothing else (``forkserver`` of multiprocessing). What is ours is
imported anew by every script.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

# The first one sets what TensorFlow, OpenCV and GDAL read while imported.
IMPORTED = [
    *("unet", "keras", "cv2", "h5py", "matplotlib.backends.backend_agg"),
    *("matplotlib.figure", "pandas", "rasterio", "scipy.ndimage", "shapely"),
    *("skimage", "tqdm"),
]
POSSIBLE = "forkserver" in multiprocessing.get_all_start_methods()
if POSSIBLE:
    _context = multiprocessing.get_context("forkserver")
    _context.set_forkserver_preload(IMPORTED)


class Script:
    """A script that runs: the part of ``subprocess.Popen`` that tests need.

    Args:
        words: path of the script, and its arguments.
        cwd: working directory.
        out: directory for what it writes to its standard streams.
    """

    def __init__(self, words, cwd, out):
        self._words = [str(word) for word in words]
        self._streams = [Path(out, name) for name in ("stdout", "stderr")]
        # As unet/network/backend.py does, before TensorFlow is imported.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        self._process = _context.Process(
            target=_run,
            args=(self._words, str(cwd), dict(os.environ), self._streams),
        )
        self._process.start()

    def send_signal(self, number):
        """Send a signal."""
        os.kill(self._process.pid, number)

    def poll(self):
        """The exit code; None while it runs."""
        return self._process.exitcode

    def communicate(self, timeout=None):
        """Wait for the end.

        Returns:
            ``subprocess.CompletedProcess`` with text output.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise subprocess.TimeoutExpired(self._words, timeout)
        code, texts = self._process.exitcode, []
        for path in self._streams:
            texts.append(path.read_text(encoding="utf-8"))
        return subprocess.CompletedProcess(self._words, code, *texts)


def _run(words, cwd, env, streams):
    """Be ``python WORDS`` in the process that was forked off."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in enumerate(streams, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(  # noqa: SIM115
        2, "w", 1, encoding="utf-8", errors="backslashreplace"
    )
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).parent))
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit:
        raise
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise SystemExit(1) from None
    finally:
        atexit._run_exitfuncs()
