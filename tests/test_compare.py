"""The comparison as its user runs it: stopped, resumed and extended."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from conftest import (
    CODE,
    assert_refused,
    contents,
    interruptible,
    make_tree,
    run_script,
)

COMPARE = "train/compare.py"
SMALL = ["--size", 32, "--filters", 2, "--depth", 2, "--batch-size", 8,
         "--epochs", 8, "--patience", 8]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    make_tree(root / "train", 12, seed=1)
    make_tree(root / "test", 3, seed=2)
    return root


def compare(data, cwd, *options):
    return run_script(COMPARE, data, *SMALL, *options, cwd=cwd)


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory):
    """A finished comparison of two variants: (directory, process)."""
    cwd = tmp_path_factory.mktemp("compared")
    result = compare(data, cwd, "--vary", "activation=elu,relu")
    assert result.returncode == 0, result.stderr
    return cwd, result


def runs_in(cwd):
    return pd.read_csv(cwd / "runs" / "compare" / "runs.csv")


def test_a_comparison_leaves_everything_it_promises(compared):
    cwd, result = compared
    out = cwd / "runs" / "compare"
    assert sorted(path.name for path in out.iterdir()) == [
        "curves.png",
        "runs",
        "runs.csv",
        "scores.png",
        "table.md",
    ]
    runs = runs_in(cwd)
    # ELU is the default, and the default is trained once.
    assert runs["variant"].tolist() == ["default", "activation=relu"]
    assert runs["images"].tolist() == [11, 11]
    assert runs["iou"].between(0, 1).all()
    assert "activation=elu: the same as default" in result.stdout
    table = (out / "table.md").read_text()
    assert [line.split(" |")[0] for line in table.splitlines()] == [
        "| variant",
        "| ---",
        "| default",
        "| activation=relu",
    ]
    assert result.stdout.index("default, seed 0 (2 to go)") < (
        result.stdout.index("12 images")
    )
    assert f"{runs['iou'][1]:.3f}" in result.stdout.splitlines()[-4]
    # One model a run, nothing kept beside it.
    assert len(list(out.rglob("*.keras"))) == 2


def test_the_same_command_again_trains_nothing(compared, data):
    cwd, _ = compared
    before = contents(cwd / "runs" / "compare")
    started = time.monotonic()
    result = compare(data, cwd, "--vary", "activation=elu,relu")
    assert time.monotonic() - started < 30
    assert result.returncode == 0, result.stderr
    assert "to go" not in result.stdout
    after = contents(cwd / "runs" / "compare")
    assert {k: v for k, v in after.items() if "png" not in k} == {
        k: v for k, v in before.items() if "png" not in k
    }


def test_one_more_value_is_added_although_interrupted(compared, data, tmp_path):
    cwd, _ = compared
    shutil.copytree(cwd / "runs", tmp_path / "runs")
    old = set(tmp_path.rglob("log.csv"))
    options = [data, *SMALL, "--quiet", "--vary", "activation=relu,selu"]
    process = subprocess.Popen(
        [sys.executable, *map(str, [CODE / COMPARE, *options])],
        cwd=tmp_path,
        env=os.environ,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=interruptible,
    )
    while process.poll() is None:
        if list(tmp_path.rglob("state.weights.h5")):
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.endswith("Interrupted. The same command goes on.\n")
    (log,) = set(tmp_path.rglob("log.csv")) - old
    before = pd.read_csv(log)
    assert not (log.parent / "summary.json").exists()
    assert runs_in(tmp_path).equals(runs_in(cwd))

    result = run_script(COMPARE, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    # What the training prints is hidden.
    assert result.stdout.splitlines()[:2] == [
        "activation=selu, seed 0 (1 to go)",
        "variant          seeds  IoU    95 %            against the default",
    ]
    # The first epochs, seconds and all, were not trained again.
    assert len(pd.read_csv(log)) == 8
    assert pd.read_csv(log)[: len(before)].equals(before)
    runs = runs_in(tmp_path)
    assert runs["variant"].tolist()[2:] == ["activation=selu"]
    assert runs[:2].equals(runs_in(cwd))


def test_learning_curve_ends_with_what_there_is(compared, data, tmp_path):
    cwd, _ = compared
    shutil.copytree(cwd / "runs", tmp_path / "runs")
    result = compare(data, tmp_path, "--learning-curve")
    assert result.returncode == 0, result.stderr
    assert "to go" not in result.stdout
    assert "images=32: left out" in result.stdout
    assert (tmp_path / "runs" / "compare" / "learning_curve.png").exists()
    assert len(runs_in(tmp_path)) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--vary", "activation"], ["activation", "OPTION=VALUE"]),
        (["--vary", "activation=elu,tanh"], ["--activation", "tanh", "relu"]),
        (["--vary", "epochs=2,0"], ["--epochs", "1 or more", "0"]),
        (["--vary", "size=32,42"], ["size 42", "multiple of 4"]),
        (["--vary", "typo=1"], ["--typo"]),
        (["--vary", "seed=1,2"], ["--vary seed", "--seeds"]),
        (["--vary", "freeze=encoder"], ["--freeze", "--start-from"]),
        (["--activation", "tanh"], ["--activation", "tanh"]),
        (["--learning-curve", "--images", 9], ["--images", "learning-curve"]),
    ],
)
def test_bad_options_are_refused_before_anything_is_trained(
    data, tmp_path, options, words
):
    assert_refused(compare(data, tmp_path, *options), *words)
    assert not (tmp_path / "runs").exists()


def test_data_without_test_images_are_refused(data, tmp_path):
    assert_refused(compare(data / "train", tmp_path), "train", "no test images")
    shutil.copytree(data, tmp_path / "data")
    for masks in (tmp_path / "data" / "test").rglob("masks"):
        shutil.rmtree(masks)
    result = compare(tmp_path / "data", tmp_path)
    assert_refused(result, tmp_path / "data" / "test", "with masks")
    assert_refused(compare("nowhere", tmp_path), "nowhere", "found nothing")
    assert not (tmp_path / "runs").exists()


def test_runs_that_cannot_be_compared_are_refused(compared, data, tmp_path):
    cwd, _ = compared
    out = cwd / "runs" / "compare"
    before = contents(out)
    result = compare(data, cwd, "--loss", "focal")
    assert_refused(result, "runs.csv", "--loss focal", "another --out")
    make_tree(tmp_path / "train", 12, seed=1)
    make_tree(tmp_path / "test", 3, seed=3)
    assert_refused(compare(tmp_path, cwd), "runs.csv", "other data", "--out")
    assert contents(out) == before
