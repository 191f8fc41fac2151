"""What people get wrong, and the sentence that each of it deserves."""

import re
import runpy
import signal
import sys

import cv2
import numpy as np
import pytest

from conftest import CODE, assert_refused, make_tree, run_script
from unet.files.errors import DataError
from unet.imagery.png import write_png

MASK, TRAIN, TEST = (
    "util/polygon_to_mask.py", "train/train_unet.py", "test/test.py"
)  # fmt: skip
SQUARE = "[[5, 5], [20, 5], [20, 20], [5, 20], [5, 5]]"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory in which one can get everything wrong."""
    root = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 40), bool)
    mask[5:20, 5:20] = True
    for name in "abc":
        small = rng.integers(0, 255, (5, 5, 3)).astype(np.uint8)
        write_png(root / f"images/{name}.png", cv2.resize(small, (40, 40)))
        write_png(root / f"masks/{name}.png", mask)
        write_png(root / f"renamed/{name}_1.png", mask)
        write_png(root / f"small/{name}.png", mask[:20, :20])
        write_png(root / f"deep/er/{name}.png", mask)
        grey = cv2.GaussianBlur(mask * np.uint8(255), (5, 5), 0)
        write_png(root / f"grey/{name}.png", grey)
    (root / "empty").mkdir()
    (root / "words").mkdir()
    (root / "words/readme.doc").write_text("hello")
    (root / "note.txt").write_text("hello")
    make_tree(root / "tree", 4)
    make_tree(root / "black/train", 12)
    for path in root.glob("black/train/*/masks/*"):
        write_png(path, np.zeros((32, 32), bool))
    make_tree(root / "bare/train", 3)
    for path in root.glob("bare/train/*/masks/*"):
        path.unlink()
    for path in root.glob("bare/train/*/masks"):
        path.rmdir()
    make_tree(root / "two/train", 2)
    (root / "two/train/Folder_1/images/other.png").write_bytes(
        (root / "images/a.png").read_bytes()
    )
    return root


def said(monkeypatch, capsys, cwd, script, *words):
    """What a script says that is run in this process: (error, output)."""
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", [str(CODE / script), *words])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        error = ""
    except DataError as refused:
        error = str(refused)
    except SystemExit:
        error = capsys.readouterr().err
    finally:
        signal.signal(signal.SIGTERM, handler)
    return error, capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ([MASK, "masks", "images"], "masks: images and masks seem to be "
         "swapped"),
        ([MASK, "images", "renamed"], "Was a meant by a_1? Names must be"),
        ([MASK, "empty", "masks"], "empty: expected images, found none: the "
         "directory is empty."),
        ([MASK, "images", "empty"], "empty: expected annotations, found none: "
         "the directory is empty."),
        ([MASK, "deep", "masks"], "found none: images lie in deep/er."),
        ([MASK, "words", "masks"], "found none: it holds readme.doc."),
        ([MASK, "images", "words"], "found none: it holds readme.doc."),
        ([MASK, "images", "images"], "images: expected annotations, found the "
         "images themselves. Give the annotations behind"),
        ([MASK, "nowhere", "masks"], "nowhere: expected a directory of images, "
         "found nothing. Check the path."),
        ([MASK, "images", "note.txt"], "note.txt: expected a list of points"),
        ([MASK, "images", "small"], "small/a.png: was made for an "
         "image of 20 x 20"),
        ([MASK, "images", "grey"], "grey/a.png: expected "),
        ([MASK, "images", "masks", "--classes", "roof"], "--classes roof: "
         "expected some of the classes building (3), found none of them."),
        (["util/split.py", "images"], "images: expected folders like images/"
         "Folder_1/images/Folder_1.png, found none: it holds images (a.png)."),
        (["util/split.py", "empty"], "found none: the directory is empty."),
        (["util/resize.py", "nowhere"], "nowhere: expected a directory of "
         "Folder_n folders, found nothing."),
        (["util/check.py", "images"], "found none. Images and annotations in "
         "two directories are checked with: check.py IMAGES ANNOTATIONS."),
        (["util/split.py", "tree", "--out", "tree/x"], "may not lie in its "
         "input"),
        ([TRAIN, "images"], "found none: it holds images (a.png)."),
        ([TRAIN, "black"], "Folder_1: the masks of all 12 images are black"),
        ([TRAIN, "bare"], "expected folders with masks, found 3 without"),
        ([TRAIN, "two"], "expected exactly one image"),
        ([TEST, "empty"], "found none: the directory is empty."),
        ([TEST, "nowhere"], "nowhere: expected an image or a directory, found "
         "nothing."),
        ([TEST, "images", "--model", "images/a.png"], "images/a.png: "
         "expected "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_mistake_gets_the_sentence_it_deserves(
    monkeypatch, capsys, place, tmp_path, command, sentence
):
    script, *words = command
    if "--out" not in words:
        words += ["--out", str(tmp_path / "out")]
    error, _ = said(monkeypatch, capsys, place, script, *words)
    assert sentence in re.sub(r"\s+", " ", error)
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_masks_that_are_all_black_are_doubted(monkeypatch, capsys, tmp_path):
    for name in "ab":
        write_png(tmp_path / f"images/{name}.png", np.eye(9, dtype=np.uint8))
        write_png(tmp_path / f"masks/{name}.png", np.zeros((9, 9), bool))
    _, output = said(
        monkeypatch, capsys, tmp_path, MASK, "images", "masks", "--out", "out"
    )
    assert "No annotation has an object: are all masks black" in output
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize("script", ["polygon_to_mask", "grabcut"])
def test_the_samples_annotations_are_for_the_samples_images(tmp_path, script):
    make_tree(tmp_path, 1)
    result = run_script(
        f"util/{script}.py", "Folder_1/images", "--out", "out", cwd=tmp_path
    )
    assert_refused(
        result, "Folder_1/images: expected annotations behind the images",
        "Give IMAGES ANNOTATIONS",
    )  # fmt: skip
    assert not (tmp_path / "out").exists()
