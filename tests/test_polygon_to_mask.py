"""polygon_to_mask.py: images and annotations to a tree of folders."""

import json

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT, assert_refused, contents, run_script
from unet.imagery.png import write_png

SCRIPT = "util/polygon_to_mask.py"
SQUARE = [[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]
TRIANGLE = [[8, 8], [11.8, 8], [8, 11.8], [8, 8]]
BEYOND = [[12, 2], [20, 2], [20, 4], [12, 4], [12, 2]]
OUTSIDE = [[30, 30], [40, 30], [40, 40], [30, 30]]
TINY = [[7.1, 7.1], [7.4, 7.1], [7.4, 7.4], [7.1, 7.1]]
HOURGLASS = [[0, 0], [7, 0], [0, 6], [7, 6], [0, 0]]


def add_images(root, *names):
    """Images of 14 x 16 pixels."""
    rng = np.random.default_rng(0)
    for name in names:
        image = rng.integers(0, 255, (16, 14, 3)).astype(np.uint8)
        write_png(root / "images" / f"{name}.png", image)


def add_texts(root, **points):
    (root / "texts").mkdir(exist_ok=True)
    for name, value in points.items():
        (root / "texts" / f"{name}.txt").write_text(json.dumps(value))


def block(rows, columns):
    mask = np.zeros((16, 14), np.uint8)
    mask[slice(*rows), slice(*columns)] = 255
    return mask


def pixels(path):
    with Image.open(path) as file:
        return np.array(file)


def convert(root, *annotations):
    return run_script(SCRIPT, "images", *annotations, "--out", "tree", cwd=root)


def test_texts_and_complete_masks_become_one_tree(tmp_path):
    add_images(tmp_path, "F_2", "F_10", "F_11", "F_12", "F_13")
    add_texts(tmp_path, F_2=SQUARE + TRIANGLE, F_10=[])
    write_png(tmp_path / "whole" / "F_11.png", block((2, 9), (3, 4)) // 255)
    write_png(tmp_path / "whole" / "F_12.png", block((0, 0), (0, 0)))
    before = contents(tmp_path)
    result = convert(tmp_path, "texts", "whole")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "5 images, 3 instances -> tree",
        "  2 images with nothing on them (masks/ is empty)",
        "  1 images without annotation",
    ]
    tree = tmp_path / "tree"
    assert sorted(contents(tree)) == [
        "F_10/images/F_10.png",
        "F_11/images/F_11.png",
        "F_11/masks/F_11_mask_1.png",
        "F_12/images/F_12.png",
        "F_13/images/F_13.png",
        "F_2/images/F_2.png",
        "F_2/masks/F_2_mask_1.png",
        "F_2/masks/F_2_mask_2.png",
    ]
    assert (tree / "F_10" / "masks").is_dir()
    assert (tree / "F_12" / "masks").is_dir()
    assert not (tree / "F_13" / "masks").exists()
    triangle = block((0, 0), (0, 0))
    triangle[8, 8:11] = triangle[9, 8:10] = triangle[10, 8] = 255
    for file, mask in (
        ("F_2/masks/F_2_mask_1.png", block((1, 5), (1, 5))),
        ("F_2/masks/F_2_mask_2.png", triangle),
        ("F_11/masks/F_11_mask_1.png", block((2, 9), (3, 4))),
    ):
        np.testing.assert_array_equal(pixels(tree / file), mask)
    for name in ("F_2", "F_13"):
        np.testing.assert_array_equal(
            pixels(tree / name / "images" / f"{name}.png"),
            pixels(tmp_path / "images" / f"{name}.png"),
        )
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before


def test_one_list_and_what_was_mended_in_it(tmp_path):
    add_images(tmp_path, "a", "b")
    points = SQUARE + BEYOND + OUTSIDE + TINY + [[9, 9]]
    lines = [f"a.png\t{points}", f"a.png\t{HOURGLASS}", f"b\t{SQUARE[:-1]}"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    result = convert(tmp_path, "list.txt")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "2 images, 4 instances -> tree",
        "  0 images with nothing on them (masks/ is empty)",
        "  repaired: open ring closed: 1",
        "  repaired: polygon cut at the border of its image: 1",
        "  repaired: polygon outside its image left out: 1",
        "  repaired: polygon that covers no pixel's centre left out: 1",
        "  repaired: polygon that crosses or touches itself filled as drawn: 1",
        "  repaired: stray point dropped: 1",
    ]
    hourglass = block((0, 0), (0, 0))
    for row, columns in enumerate([(1, 6), (2, 5), (3, 4)]):
        hourglass[[row, 5 - row], slice(*columns)] = 255
    for file, mask in (
        ("a_mask_1.png", block((1, 5), (1, 5))),
        ("a_mask_2.png", block((2, 4), (12, 14))),
        ("a_mask_3.png", hourglass),
    ):
        np.testing.assert_array_equal(
            pixels(tmp_path / "tree" / "a" / "masks" / file), mask
        )
    assert len(list((tmp_path / "tree" / "a" / "masks").iterdir())) == 3


def test_what_is_refused_is_listed_and_the_rest_is_written(tmp_path):
    add_images(tmp_path, "good", "cut", "other_size", "no_list")
    cut = tmp_path / "images" / "cut.png"
    cut.write_bytes(cut.read_bytes()[:200])
    add_texts(tmp_path, good=SQUARE, cut=SQUARE, lost=SQUARE)
    (tmp_path / "texts" / "no_list.txt").write_text("[[1, 2")
    write_png(tmp_path / "whole" / "other_size.png", np.zeros((9, 8), bool))
    result = convert(tmp_path, "texts", "whole")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stdout.startswith("1 images, 1 instances -> tree\n")
    lines = sorted(result.stderr.splitlines())
    assert len(lines) == 3, result.stderr
    for words in (
        ("images/cut.png", "truncated"),
        ("texts/no_list.txt", "list of points"),
        ("whole/other_size.png", "14 x 16", "8 x 9"),
    ):
        assert any(
            line.startswith("  refused: ") and all(w in line for w in words)
            for line in lines
        ), words
    assert "  left out: texts/lost.txt: annotates lost" in result.stdout
    assert sorted(contents(tmp_path / "tree")) == [
        "good/images/good.png",
        "good/masks/good_mask_1.png",
    ]


def test_annotations_of_a_project_beside_a_part_of_its_images(tmp_path):
    add_images(tmp_path, "a", "b")
    lines = [f"{name}.png\t{SQUARE}" for name in ("a", *range(9))]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    result = convert(tmp_path, "list.txt")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "2 images, 1 instances -> tree",
        "  0 images with nothing on them (masks/ is empty)",
        "  1 images without annotation",
        "  left out: list.txt: annotations of 9 images (0, 1, 2, 3, 4, ...) "
        "that are not in images. Add the images, or correct the names, if "
        "they belong together.",
    ]
    (tmp_path / "list.txt").write_text("\n".join(lines[1:]))
    result = convert(tmp_path, "list.txt", "--overwrite")
    assert_refused(result, "list.txt: annotations of 9 images", "not in images")
    assert (tmp_path / "tree" / "a" / "masks" / "a_mask_1.png").exists()


def test_images_of_a_list_with_a_bad_line_do_not_pass_for_unlabelled(tmp_path):
    add_images(tmp_path, "a", "b")
    lines = [f"a\t{SQUARE}", "b\t[[NaN, 1], [2, 2], [3, 3]]"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    result = convert(tmp_path, "list.txt")
    assert result.returncode == 2
    assert "list.txt, line 2" in result.stderr
    masks = tmp_path / "tree" / "a" / "masks"
    assert masks.is_dir() or not masks.parent.exists()
    assert not (tmp_path / "tree" / "b").exists()


def test_if_everything_is_refused_nothing_is_written(tmp_path):
    add_images(tmp_path, "a")
    add_texts(tmp_path, a=[[1, 2, 3]])
    assert_refused(convert(tmp_path, "texts"), "texts/a.txt", "two numbers")
    assert not (tmp_path / "tree").exists()


def test_two_annotations_of_one_image_are_refused(tmp_path):
    add_images(tmp_path, "a")
    add_texts(tmp_path, a=SQUARE)
    write_png(tmp_path / "whole" / "a.png", block((0, 2), (0, 2)))
    result = convert(tmp_path, "texts", "whole")
    assert_refused(result, "whole/a.png", "texts/a.txt")
    assert not (tmp_path / "tree").exists()


def test_one_image_and_one_annotation_belong_together(tmp_path):
    add_images(tmp_path, "a", "b")
    add_texts(tmp_path, other=SQUARE)
    result = run_script(
        SCRIPT, "images/a.png", "texts", "--out", "tree", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[::2] == [
        "1 images, 1 instances -> tree",
        "  repaired: annotation of other taken for the only image, a: 1",
    ]
    np.testing.assert_array_equal(
        pixels(tmp_path / "tree" / "a" / "masks" / "a_mask_1.png"),
        block((1, 5), (1, 5)),
    )


def test_masks_beside_photos_of_the_same_name_do_no_harm(tmp_path):
    add_images(tmp_path, "a")
    photo = tmp_path / "images" / "a.jpg"
    (tmp_path / "images" / "a.png").rename(tmp_path / "images" / "a.bmp")
    with Image.open(tmp_path / "images" / "a.bmp") as file:
        file.save(photo, quality=100)
    shape = {"label": "roof", "points": SQUARE, "shape_type": "polygon"}
    for named in ("a.jpg", "a"):
        data = {"shapes": [shape], "imagePath": named}
        (tmp_path / "images" / "a.json").write_text(json.dumps(data))
        result = convert(tmp_path, "images", "--overwrite")
        if named == "a.jpg":
            assert result.returncode == 0, result.stderr
            assert result.stdout.startswith("1 images, 1 instances")
            with Image.open(photo) as file:
                expected = np.array(file)
            found = pixels(tmp_path / "tree" / "a" / "images" / "a.png")
            np.testing.assert_array_equal(found, expected)
    assert_refused(result, "a.bmp, a.jpg")


def test_existing_tree_stays_unless_overwritten(tmp_path):
    add_images(tmp_path, "a")
    add_texts(tmp_path, a=SQUARE)
    old = tmp_path / "tree" / "old"
    write_png(old / "images" / "old.png", block((0, 2), (0, 2)))
    before = contents(tmp_path)
    assert_refused(convert(tmp_path, "texts"), "tree", "--overwrite")
    assert contents(tmp_path) == before
    result = convert(tmp_path, "texts", "--overwrite")
    assert result.returncode == 0, result.stderr
    assert sorted(contents(tmp_path / "tree")) == [
        "a/images/a.png",
        "a/masks/a_mask_1.png",
    ]


@pytest.mark.skipif(
    not (ROOT / "data" / "raw").is_dir(), reason="data/raw is absent"
)
def test_without_arguments_it_works_on_the_repositorys_data(tmp_path):
    result = run_script(SCRIPT, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    made = list((tmp_path / "prepared" / "folders").iterdir())
    raw = [p for p in (ROOT / "data/raw/images").iterdir() if p.name[0] != "."]
    assert len(made) == len(raw)
