"""A script works on, whoever listens, and wherever its user lives."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conftest import CODE, contents, make_tree
from unet.files.cache import cache_directory
from unet.files.errors import Notice

# More lines than a pipe holds.
WORK = """
from unet.terminal import cli
cli.one_line_errors()
import contextlib, os, sys
for number in range(8_000):
    print("line", number)
    print("line", number, file=sys.stderr)
with open("result", "w") as file:
    file.write(f"written {file.fileno() > 2} {sys.stdout.isatty()}")
for stream in (1, 2):  # as native code writes
    with contextlib.suppress(BrokenPipeError):
        os.write(stream, b"a library's own line")
raise SystemExit(int(sys.argv[1]))
"""


def shell(command, cwd, **env):
    """Run a command of bash; its exit code is that of what pipes."""
    return subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("code", [0, 2])
@pytest.mark.parametrize(
    "listener",
    [
        *("| head -1", "| true", "2>&1 | head -1", "2>&1 >/dev/null | true"),
        *(">&-", "2>&-", "<&-", "<&- >&-", "<&- >&- 2>&-"),
    ],
)
def test_the_work_is_done_whoever_listens(tmp_path, listener, code):
    (tmp_path / "work.py").write_text(WORK)
    command = f"{sys.executable} work.py {code} {listener}"
    result = shell(command, tmp_path)
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
    assert (tmp_path / "result").read_text() == "written True False"


@pytest.mark.parametrize("option", ["", "-u"])
def test_what_is_printed_arrives_whole(tmp_path, option):
    code = (
        "from unet.terminal import cli; cli.one_line_errors(); "
        "print('\\u00e9 \\udcff'); print('last', end='')"
    )
    (tmp_path / "a.py").write_text(code)
    command = f"{sys.executable} {option} a.py"
    assert shell(command, tmp_path).stdout == "\u00e9 \\udcff\nlast"
    ascii_ = shell(command, tmp_path, PYTHONIOENCODING="ascii").stdout
    assert ascii_ == "\\xe9 \\udcff\nlast"


def test_a_script_does_its_work_whoever_listens(tmp_path):
    make_tree(tmp_path / "tree", 6)
    script = CODE / "util" / "split.py"
    for out, how in (("heard", ""), ("alone", ">&- 2>&-")):
        command = f"{sys.executable} {script} tree --out {out} {how}"
        assert shell(command, tmp_path).returncode == 0
    assert contents(tmp_path / "alone") == contents(tmp_path / "heard")


@pytest.mark.parametrize("home", ["/dev/null", "/proc/none", "~nobody-at-all"])
def test_without_a_home_arrays_lie_among_temporary_files(
    tmp_path, monkeypatch, home
):
    monkeypatch.delenv("UNET_CACHE")
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if home.startswith("~"):  # no home in the environment, no such user
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    from unet.files import cache

    cache._temporary.cache_clear()
    with pytest.warns(Notice, match="UNET_CACHE names another place"):
        place = cache_directory()
    assert place.parent == tmp_path
    assert place.stat().st_mode & 0o777 == 0o700
    assert cache_directory() == place
    cache._temporary.cache_clear()


def test_a_home_is_told_in_one_line(tmp_path):
    (tmp_path / "a.py").write_text(
        "from unet.terminal import cli; cli.one_line_errors()\n"
        "from unet.files.cache import cache_directory\n"
        "print(cache_directory(), cache_directory())"
    )
    env = {"HOME": "/dev/null", "UNET_CACHE": "", "TMPDIR": str(tmp_path)}
    result = shell(f"{sys.executable} a.py", tmp_path, **env)
    (place,) = set(result.stdout.split())
    assert Path(place).parent == tmp_path
    assert result.stderr == (
        "a.py: there is no home to keep arrays in, they go to "
        f"{place}; UNET_CACHE names another place.\n"
    )


def test_a_place_that_the_user_names_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("UNET_CACHE", str(tmp_path / "mine"))
    assert cache_directory() == tmp_path / "mine"
    monkeypatch.delenv("UNET_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "unet"
