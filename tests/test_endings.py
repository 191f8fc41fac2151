"""SIGTERM, Ctrl-C during the imports, and what SIGKILL leaves."""

import os
import signal
import subprocess
import sys
import time

import pytest

from conftest import CODE, contents, interruptible
from unet.files.quiet import held_back_stderr

SAMPLE = CODE / "util" / "make_sample.py"


def drawing(cwd, number):
    """Start to draw scenes, and send a signal in the middle of it."""
    process = subprocess.Popen(
        [sys.executable, SAMPLE, "--out", "out", "--scenes", "2000"],
        cwd=cwd, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible,
    )  # fmt: skip
    while not list(cwd.glob(".out.*.tmp/images/*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    errors = process.communicate(timeout=60)[1]
    return process.returncode, [s for s in errors.splitlines() if s.strip()]


def test_sigterm_ends_like_ctrl_c_and_cleans_up(tmp_path):
    code, lines = drawing(tmp_path, signal.SIGTERM)
    assert (code, lines) == (143, ["Terminated."])
    assert list(tmp_path.iterdir()) == []


def test_what_sigkill_leaves_goes_with_the_next_run(tmp_path):
    assert drawing(tmp_path, signal.SIGKILL) == (-9, [])
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2 and left[0].endswith(".tmp"), left
    done = subprocess.run(
        [sys.executable, SAMPLE, "--out", "out", "--scenes", "1"], cwd=tmp_path
    )
    assert done.returncode == 0
    assert sorted(contents(tmp_path)) == [
        "out/annotations/Folder_1.txt", "out/images/Folder_1.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "module"),
    [
        ("util/polygon_to_mask.py", "unet.terminal.reading_options"),
        ("util/polygon_to_mask.py", "unet.annotations.formats"),
        ("util/split.py", "pandas"),
        ("train/train_unet.py", "unet.terminal.training_options"),
        ("test/test.py", "unet.terminal.cli"),
    ],
)
def test_ctrl_c_during_the_imports_is_one_line(tmp_path, script, module):
    # A loader that presses Ctrl-C.
    code = (
        "import runpy, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"sys.argv = [{str(CODE / script)!r}]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": str(CODE)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "\nInterrupted.\n")


@pytest.mark.parametrize(
    ("error", "shown"), [(KeyboardInterrupt, ""), (ImportError, "a line")]
)
def test_what_is_held_back_is_shown_for_errors_alone(capfd, error, shown):
    with pytest.raises(error), held_back_stderr():
        os.write(2, b"a line")
        raise error
    assert capfd.readouterr().err == shown
