"""What every script does alike."""

import errno
import re
import shutil
import subprocess
import sys

import pytest

from conftest import CODE, ROOT, assert_refused, run_script
from unet.files.errors import DataError
from unet.terminal import cli

SCRIPTS = sorted(
    str(path.relative_to(CODE))
    for path in CODE.glob("*/*.py")
    if path.parent.name in ("util", "train", "test")
)
# Each takes longer to import than all that --help needs.
SLOW = {
    *("PIL", "cv2", "h5py", "keras", "matplotlib", "numpy", "pandas"),
    *("rasterio", "scipy", "shapely", "skimage", "tensorflow", "tqdm"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_teaches(script, tmp_path):
    result = run_script(script, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "The result is" in result.stdout
    # Lines are broken where the length of a default path wants it.
    assert "(default: " in " ".join(result.stdout.split())
    examples = re.findall(r"^  (python code/\S+)", result.stdout, re.M)
    assert len(examples) >= 2
    for example in examples:
        assert (ROOT / example.split()[1]).exists()
    assert "None" not in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_unknown_options_are_told_in_one_line(script, tmp_path):
    result = run_script(script, "--no-such-option", cwd=tmp_path)
    assert_refused(result, "--no-such-option", "--help")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_loads_nothing_that_takes_time(script, tmp_path):
    words = [sys.executable, "-X", "importtime", CODE / script, "--help"]
    result = subprocess.run(
        words, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    loaded = {line.split()[-1] for line in result.stderr.splitlines()}
    assert "unet.terminal.cli" in loaded
    assert loaded & SLOW == set()


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("util/polygon_to_mask.py", ["images", "annotations"]),
        ("util/grabcut.py", ["images", "annotations"]),
        ("util/check.py", ["tree"]),
        ("util/resize.py", ["tree"]),
        ("util/split.py", ["tree"]),
        ("util/tile.py", ["images", "annotations"]),
        ("test/test.py", ["photo.png"]),
        ("train/train_unet.py", ["data"]),
        ("train/compare.py", ["data"]),
    ],
)
def test_what_is_not_there_is_told_before_slow_imports(script, names, tmp_path):
    words = [sys.executable, "-X", "importtime", CODE / script, *names]
    result = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert names[0] in result.stderr.splitlines()[-1]
    loaded = {line.split()[-1] for line in result.stderr.splitlines()[:-1]}
    assert "numpy" in loaded
    assert loaded & {"keras", "tensorflow", "matplotlib", "scipy"} == set()


def run_code(code, tmp_path):
    path = tmp_path / "script.py"
    start = "from unet.terminal import cli\ncli.one_line_errors()"
    path.write_text(f"{start}\n{code}\nmain()\n")
    return subprocess.run(
        [sys.executable, path], capture_output=True, text=True, check=False
    )


def test_our_own_errors_keep_their_traceback(tmp_path):
    result = run_code("def main(): 1 / 0", tmp_path)
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr


def test_interruption_ends_with_130(tmp_path):
    result = run_code("def main(): raise KeyboardInterrupt", tmp_path)
    assert result.returncode == 130
    assert result.stderr.strip() == "Interrupted."


@pytest.mark.parametrize(
    ("name", "code", "word"),
    [("SIGINT", 130, "Interrupted."), ("SIGTERM", 143, "Terminated.")],
)
def test_interruption_of_a_garbage_collection_is_not_lost(
    name, code, word, tmp_path
):
    main = f"""
import gc, signal, time

# A shell lets what it starts in the background ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

def collected(phase, counts):
    if phase == "start":
        gc.callbacks.remove(collected)
        signal.raise_signal(signal.{name})

def main():
    gc.callbacks.append(collected)
    gc.collect()
    print("went on", flush=True)
    for _ in range(100):
        time.sleep(0.1)
"""
    result = run_code(main, tmp_path)
    assert result.stdout == "went on\n"
    assert result.returncode == code
    assert result.stderr.strip() == word


def test_a_full_disk_is_one_line(tmp_path):
    code = "def main():\n    open('/dev/full', 'w').write('x' * 9**6)"
    result = run_code(code, tmp_path)
    assert_refused(result, "no space left")


def test_errors_are_explained():
    assert cli.explain(DataError("a.png: bad")) == "a.png: bad"
    missing = FileNotFoundError(errno.ENOENT, "No such file", "b.png")
    assert cli.explain(missing) == "b.png: No such file."
    hdf5 = OSError("Can't write data (file write failed: errno = 28, ...)")
    assert "no space left" in cli.explain(hdf5)
    copying = shutil.Error([("a", "b", "[Errno 28] No space left on device")])
    assert "no space left" in cli.explain(copying)
    assert cli.explain(KeyError("x")) is None


def test_numbers_have_limits():
    parse = cli.number(int, 1, 5)
    assert parse("5") == 5
    with pytest.raises(Exception, match="1 to 5"):
        parse("6")
    with pytest.raises(Exception, match="1 or more"):
        cli.number(float, 1)("0.5")


def test_the_model_of_a_training_comes_before_the_one_that_ships(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cli, "MODEL", tmp_path / "unet.keras")
    assert cli.default_model() == cli.SHIPPED
    cli.MODEL.write_text("mine")
    assert cli.default_model() == cli.MODEL
