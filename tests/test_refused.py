"""One bad file among many is refused by name, and the rest is written."""

import cv2
import numpy as np
import pytest

from conftest import contents, run_script, small_network, write_sample
from unet.imagery.mask_values import read_values
from unet.network.contract import Contract

BAD = b"not a picture " * 30


@pytest.fixture
def tree(tmp_path):
    """Six samples: of three the image, the mask or the name is bad."""
    rng = np.random.default_rng(3)
    mask = np.zeros((60, 60), bool)
    mask[9:30, 12:40] = True
    for name in "abcdef":
        small = rng.integers(0, 255, (6, 6, 3)).astype(np.uint8)
        write_sample(tmp_path / "tree", name, cv2.resize(small, (60, 60)))
    for name in "abcdef":
        write_sample(
            tmp_path / "tree", name, rng.integers(0, 255, (60, 60, 3),
            np.uint8), [mask],
        )  # fmt: skip
    (tmp_path / "tree/b/images/b.png").write_bytes(BAD)
    (tmp_path / "tree/c/masks/c_mask_1.png").write_bytes(BAD)
    (tmp_path / "tree/d/images/d.png").unlink()
    return tmp_path / "tree"


def assert_written(result, written, refused):
    """Exit code 2, a line for every bad file, and names in the output."""
    assert result.returncode == 2, result.stderr
    assert written in result.stdout
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == len(refused), result.stderr
    for line, name in zip(sorted(lines), sorted(refused), strict=True):
        assert line.startswith(f"  refused: {name}: expected "), line


def names(out):
    return {name.split("/")[0].split(".")[0] for name in contents(out)}


def test_resize_leaves_out_what_it_cannot_read(tmp_path, tree):
    result = run_script("util/resize.py", "tree", "--out", "out", cwd=tmp_path)
    bad = ["tree/b/images/b.png", "tree/c/masks/c_mask_1.png", "tree/d/images"]
    assert_written(result, "3 images of 128 x 128", bad)
    assert names(tmp_path / "out") == {"a", "e", "f"}


def test_split_leaves_out_what_it_cannot_read(tmp_path, tree):
    result = run_script("util/split.py", "tree", "--out", "out", cwd=tmp_path)
    bad = ["tree/b/images/b.png", "tree/d/images"]
    assert_written(result, "3 train, 1 test, 4 groups", bad)
    sides = names(tmp_path / "out/train") | names(tmp_path / "out/test")
    assert sides == {"a", "c", "e", "f"}
    table = (tmp_path / "out/split.csv").read_text().splitlines()
    assert len(table) == 5


def test_prediction_goes_on_behind_what_it_cannot_read(tmp_path, tree):
    from unet.network.model import save

    save(
        small_network(), tmp_path / "m.keras", Contract(["building"], [32] * 2)
    )
    result = run_script(
        "test/test.py", "tree", "--model", "m.keras", "--out", "out",
        "--annotations", "coco", cwd=tmp_path,
    )  # fmt: skip
    bad = ["tree/b/images/b.png", "tree/c/masks/c_mask_1.png", "tree/d/images"]
    assert_written(result, "3 masks -> out", bad)
    assert set(contents(tmp_path / "out")) == {
        *(f"{name}{end}.png" for name in "aef" for end in ("", "_overlay")),
        "annotations/annotations.json", "contact_sheet.png", "scores.json",
    }  # fmt: skip


@pytest.fixture
def boxes(tmp_path):
    """Four images with annotations: of b the image, of c the text is bad."""
    rng = np.random.default_rng(1)
    for name in "abcd":
        image = rng.integers(0, 255, (40, 40, 3), np.uint8)
        write_sample(tmp_path, name, image)
        text = "[[5, 5], [20, 5], [20, 20], [5, 20], [5, 5]]"
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{name}.txt").write_text(text)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / name / "images" / f"{name}.png").rename(
            tmp_path / "images" / f"{name}.png"
        )
    (tmp_path / "images" / "b.png").write_bytes(BAD)
    (tmp_path / "texts" / "c.txt").write_text("[[1, 2")
    return tmp_path


def test_grabcut_goes_on_behind_what_it_cannot_read(boxes):
    result = run_script(
        "util/grabcut.py", "images", "texts", "--out", "out", cwd=boxes
    )
    assert_written(result, "2 images -> out", ["images/b.png", "texts/c.txt"])
    assert names(boxes / "out") == {"a", "d", "overlays"}


def test_a_file_that_belongs_to_no_image_stops_nothing(boxes):
    (boxes / "images/b.png").unlink()
    (boxes / "texts/b.txt").unlink()
    (boxes / "texts/c.txt").rename(boxes / "texts/project.txt")
    result = run_script(
        "util/polygon_to_mask.py", "images", "texts", "--out", "out", cwd=boxes
    )
    assert_written(result, "2 images, 2 instances", ["texts/project.txt"])
    # The file may annotate c: its folder would pass for unlabelled.
    assert "left out: 1 images that no readable file annotates" in result.stdout
    assert names(boxes / "out") == {"a", "d"}


def test_a_mask_that_only_one_library_reads_stops_nothing(tmp_path):
    mask = np.zeros((20, 20, 3), np.uint8)
    mask[5:9, 5:9] = (0, 0, 255)
    data = bytearray(cv2.imencode(".jpg", mask)[1].tobytes())
    data[3] = 1  # OpenCV decodes it, Pillow does not know it
    (tmp_path / "a.jpg").write_bytes(data)
    values, kind = read_values(tmp_path / "a.jpg")
    assert (values.shape, kind) == ((20, 20), "colour")
