"""Killed while it writes: nothing half done looks whole, nothing is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import CODE, contents, killed_at, make_tree, run_script
from unet.files.atomic import new_entries, new_tree
from unet.files.claims import UNFINISHED, claim
from unet.files.errors import DataError

OLD = {"train/a/images/a.png": b"old", "test/b/images/b.png": b"old",
       "split.csv": b"old", "classes.txt": b"old"}  # fmt: skip
NEW = {"train/b/images/b.png": b"new", "test/a/images/a.png": b"new",
       "split.csv": b"new"}  # fmt: skip
NAMES = ["train", "test", "split.csv", "classes.txt"]
# The number of no process.
NOBODY = 2**22 + 1


def write(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def replace(root, overwrite=True):
    with new_entries(root, NAMES, [], overwrite) as place:
        write(place, NEW)


def seen(root):
    """What is there for those who do not look for hidden files."""
    return {k: v for k, v in contents(root).items() if k[0] != "."}


@pytest.mark.parametrize("before", [OLD, {}], ids=["replaced", "new"])
def test_entries_are_all_old_or_all_new_whenever_it_is_killed(tmp_path, before):
    kills = 0
    for count in range(1, 20):
        root = tmp_path / str(count)
        write(root, {"notes.md": b"mine", **before})
        kills += killed_at(count, lambda root=root: replace(root))
        after = seen(root)
        assert after.pop("notes.md") == b"mine"
        # Without train/ nothing is read: the whole is absent.
        if any(name.startswith("train") for name in after):
            assert after in (before, NEW)
        replace(root)
        assert contents(root) == {"notes.md": b"mine", **NEW}
    # Each goes, then there is no way back, then each comes.
    assert kills == len(before) + 1 + len(NEW)


def test_what_was_killed_is_taken_back_or_completed_by_the_next(tmp_path):
    ends = []
    for count in range(1, 9):
        root = tmp_path / str(count)
        write(root, OLD)
        assert killed_at(count, lambda root=root: replace(root))
        with pytest.raises(DataError, match="exists already"):
            replace(root, overwrite=False)
        assert contents(root) in (OLD, NEW)
        ends.append(contents(root))
    assert ends == [OLD] * 5 + [NEW] * 3


def test_a_tree_that_was_on_its_way_out_comes_back(tmp_path):
    def fill(overwrite=True):
        with new_tree(tmp_path / "out", [], overwrite) as tree:
            write(tree, {"a/images/a.png": b"new"})

    write(tmp_path, {"out/a/images/a.png": b"old"})
    assert killed_at(2, fill)
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="exists already"):
        fill(overwrite=False)
    assert contents(tmp_path) == {"out/a/images/a.png": b"old"}
    fill()
    assert contents(tmp_path) == {"out/a/images/a.png": b"new"}


@pytest.mark.parametrize("process", [NOBODY, "our own"])
def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(
    tmp_path, process
):
    # In a container every process may have the number of its forerunner.
    process = os.getpid() if process == "our own" else process
    living, others = os.getppid(), f".other.{process}.tmp/a.png"
    write(
        tmp_path,
        {
            f".train.{process}.tmp/train/a.png": b"",
            f".train.{living}.tmp/train/a.png": b"",
            others: b"",
        },
    )
    replace(tmp_path)
    left = contents(tmp_path).keys() - NEW.keys()
    assert left == {f".train.{living}.tmp/train/a.png", others}


def test_two_processes_do_not_make_one_tree(tmp_path):
    code = (
        "import sys; from unet.files.atomic import new_tree\n"
        "with new_tree(sys.argv[1], [], False) as tree:\n"
        "    print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(CODE)},
    ) as first:  # fmt: skip
        first.stdout.readline()
        data = make_tree(tmp_path / "data", 1)
        second = run_script(
            "util/resize.py", data, "--out", "out", cwd=tmp_path
        )
        first.communicate("\n")
    assert first.returncode == 0
    assert second.returncode == 2
    assert second.stderr == (
        f"resize.py: {tmp_path / 'out'}: another process is writing there. "
        "Wait until it has ended, or write to another place.\n"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "out"]


def begin(out, names, written, overwrite=False, end=os._exit):
    """Claim files, write some, and die."""
    with claim(out, [out / name for name in names], overwrite):
        for name in written:
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).write_text("half")
            # What a writer leaves that is killed.
            (out / name).with_name(f".{NOBODY}.{Path(name).name}").touch()
        end(137)


def test_results_of_a_killed_process_may_be_written_again(tmp_path):
    out, names = tmp_path / "out", ["a.png", "sub/b.png", "c.png"]
    killed_at(0, lambda: begin(out, names, names[:2]))
    with claim(out, [out / name for name in names], False):
        for name in names:
            (out / name).write_text("whole")
    assert contents(out) == dict.fromkeys(names, b"whole")
    with (
        pytest.raises(DataError, match="exists already"),
        claim(out, [out / "a.png"], False),
    ):
        pass


def test_what_existed_before_is_still_protected(tmp_path):
    (tmp_path / "old.png").write_text("old")
    killed_at(0, lambda: begin(tmp_path, ["old.png", "new.png"],
                               ["old.png", "new.png"], True))  # fmt: skip
    with claim(tmp_path, [tmp_path / "new.png"], False):
        pass
    with (
        pytest.raises(DataError, match=r"old\.png: exists already \(1 of"),
        claim(tmp_path, [tmp_path / "old.png"], False),
    ):
        pass


def test_a_claim_without_results_leaves_nothing(tmp_path):
    def refuse(code):
        raise DataError("a.png: damaged.")

    with pytest.raises(DataError, match="damaged"):
        begin(tmp_path / "deep" / "out", ["a.png"], [], end=refuse)
    assert contents(tmp_path) == {}
    assert not (tmp_path / "deep").exists()


def test_two_processes_do_not_write_into_one_directory(tmp_path):
    read, write_end = os.pipe()
    held, release = os.pipe()
    child = os.fork()
    if child == 0:
        with claim(tmp_path, [tmp_path / "a.png"], False):
            os.write(write_end, b".")
            os.read(held, 1)
            os._exit(0)
    os.read(read, 1)
    with (
        pytest.raises(DataError, match=r"another process is writing there"),
        claim(tmp_path, [tmp_path / "b.png"], False),
    ):
        pass
    os.write(release, b".")
    os.waitpid(child, 0)
    # The lock died with its process.
    with claim(tmp_path, [tmp_path / "b.png"], False):
        assert (tmp_path / UNFINISHED).exists()
    assert contents(tmp_path) == {}
