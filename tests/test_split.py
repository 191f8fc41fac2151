"""split.py: a tree of folders to train/ and test/."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from conftest import (
    assert_refused,
    contents,
    make_tree,
    run_script,
    write_sample,
)

SCRIPT = "util/split.py"


def scene(seed):
    """A smooth random picture, 64 x 64."""
    noise = np.random.default_rng(seed).integers(0, 255, (64, 64, 3))
    smooth = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 4)
    return np.clip(128 + (smooth - 128) * 5, 10, 240).astype(np.uint8)


@pytest.fixture
def tree(tmp_path):
    """Ten samples in tree/."""
    return make_tree(tmp_path / "tree", 10)


def split(root, *options, out="out"):
    return run_script(SCRIPT, "tree", "--out", out, *options, cwd=root)


def sides(out):
    """(train, test): sets of the names that lie there."""
    train, test = (
        {path.name for path in (out / side).iterdir()}
        for side in ("train", "test")
    )
    return train, test


def table(out):
    """Rows of split.csv."""
    with (out / "split.csv").open() as file:
        return list(csv.DictReader(file))


def write_table(path, header, rows):
    lines = [header, *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def test_copies_70_and_30_and_only_the_seed_decides(tmp_path, tree):
    before = contents(tree)
    result = split(tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "7 train, 3 test, 10 groups -> out\n"
    train, test = sides(tmp_path / "out")
    assert (len(train), len(test)) == (7, 3)
    assert train | test == {path.name for path in tree.iterdir()}
    copies = {**contents(tmp_path / "out" / "train"),
              **contents(tmp_path / "out" / "test")}  # fmt: skip
    assert copies == contents(tree) == before
    assert not any(p.is_symlink() for p in (tmp_path / "out").rglob("*"))
    assert table(tmp_path / "out") == [
        {
            "name": f"Folder_{k}",
            "split": "test" if f"Folder_{k}" in test else "train",
            "group": f"Folder_{k}",
        }
        for k in range(1, 11)
    ]

    split(tmp_path, "--seed", "0", out="again")
    assert sides(tmp_path / "again") == (train, test)
    split(tmp_path, "--seed", "1", "--test", "0.5", out="other")
    other = sides(tmp_path / "other")
    assert (len(other[0]), len(other[1])) == (5, 5)
    assert not test <= other[1]


def test_groups_by_regular_expression_stay_whole_copies_too(tmp_path):
    names = [f"area{k % 4}_tile{k}" for k in range(12)]
    for k, name in enumerate(names):
        write_sample(tmp_path / "tree", name, scene(k), [])
    write_sample(tmp_path / "tree", "area0_again", scene(0), [])
    result = split(tmp_path, "--group", "^(area[0-9])_", "--test", "0.25")
    assert result.returncode == 0, result.stderr
    assert "4 groups" in result.stdout
    train, test = sides(tmp_path / "out")
    assert train | test == {*names, "area0_again"}
    areas = [{name.split("_")[0] for name in side} for side in (train, test)]
    assert [len(side) for side in areas] == [3, 1]
    assert not areas[0] & areas[1]
    rows = table(tmp_path / "out")
    assert all(row["group"] == row["name"].split("_")[0] for row in rows)


def test_links_and_groups_by_table(tmp_path, tree):
    rows = [(f"Folder_{k}", "west" if k <= 6 else "east") for k in range(1, 11)]
    write_table(tmp_path / "groups.csv", "name,area", rows)
    options = "--link", "--group", "groups.csv", "--test", "0.4"
    result = split(tmp_path, *options)
    assert result.stdout == "6 train, 4 test, 2 groups -> out\n", result.stderr
    train, test = sides(tmp_path / "out")
    assert train == {f"Folder_{k}" for k in range(1, 7)}
    assert test == {f"Folder_{k}" for k in range(7, 11)}
    link = tmp_path / "out" / "test" / "Folder_7"
    assert link.is_symlink()
    assert link.resolve() == tree / "Folder_7"
    assert contents(link) == contents(tree / "Folder_7")


def test_a_given_split_is_kept_exactly(tmp_path, tree):
    wanted = {"Folder_2", "Folder_3", "Folder_10"}
    rows = [
        (f"Folder_{k}", "test" if f"Folder_{k}" in wanted else "train")
        for k in range(1, 13)
    ]
    write_table(tmp_path / "given.csv", "name,split", rows)
    result = split(tmp_path, "--from", "given.csv", "--group", "[0-9]")
    assert result.returncode == 0, result.stderr
    assert sides(tmp_path / "out")[1] == wanted
    assert [row["group"] for row in table(tmp_path / "out")][-2:] == ["9", "1"]
    # Folder_1 and Folder_10 are of one group: 1.
    assert "1 groups lie on both sides" in result.stdout


def test_folders_that_a_given_split_does_not_name_may_have_a_side(
    tmp_path, tree
):
    rows = [("Folder_2", "test"), ("Folder_3", "train")]
    write_table(tmp_path / "given.csv", "name,split", rows)
    result = split(tmp_path, "--from", "given.csv", "--others", "train")
    assert result.returncode == 0, result.stderr
    train, test = sides(tmp_path / "out")
    assert test == {"Folder_2"}
    assert len(train) == 9


@pytest.mark.parametrize(
    ("last", "found"),
    [([], "no row"), ([("Folder_10", "validation")], "'validation'")],
    ids=["a name is missing", "neither train nor test"],
)
def test_a_given_split_must_be_complete(tmp_path, tree, last, found):
    rows = [(f"Folder_{k}", "test" if k < 3 else "train") for k in range(1, 10)]
    write_table(tmp_path / "given.csv", "name,split", rows + last)
    result = split(tmp_path, "--from", "given.csv")
    assert_refused(result, "given.csv", "Folder_10", found)
    assert not (tmp_path / "out").exists()


def field(seed):
    """Bare ground: hardly anything but noise, all of the same colour."""
    noise = np.random.default_rng(seed).normal(0, 6, (64, 64, 3))
    return np.clip(np.array([120, 110, 80]) + noise, 0, 255).astype(np.uint8)


def plain(grey):
    """An empty picture, of which a hash knows nothing."""
    return np.full((64, 64, 3), grey, np.uint8)


def test_near_copies_on_both_sides_are_refused_but_not_like_fields(tmp_path):
    root = tmp_path / "tree"
    pictures = {
        "a_same": scene(1), "b_same": scene(1),
        "a_jpeg": scene(2), "b_jpeg": scene(2),
        "a_brighter": scene(3), "b_brighter": scene(3) + 5,
        "a_smaller": scene(4), "b_smaller": cv2.resize(scene(4), (48, 48),
            interpolation=cv2.INTER_AREA),
        "a_cropped": scene(12), "b_cropped": scene(12)[1:-1, 1:-1],
        "a_field": field(5), "b_field": field(6),
        "a_plain": plain(90), "b_plain": plain(120),
        "a_other": scene(7), "b_other": scene(8),
        # On one side both may lie.
        "a_again": scene(9), "a_again_too": scene(9),
    }  # fmt: skip
    for name, image in pictures.items():
        write_sample(root, name, image, [])
    place = root / "b_jpeg" / "images"
    Image.fromarray(scene(2)).save(place / "b_jpeg.jpg", quality=60)
    (place / "b_jpeg.png").unlink()
    rows = [(n, "train" if n[0] == "a" else "test") for n in pictures]
    write_table(tmp_path / "given.csv", "name,split", rows)
    result = split(tmp_path, "--from", "given.csv")
    pairs = [f"a_{what} = b_{what}" for what in
             ("same", "jpeg", "brighter", "smaller", "cropped")]  # fmt: skip
    assert_refused(result, "(5 pairs, train = test)", *pairs)
    assert not (tmp_path / "out").exists()


def test_existing_split_stays_unless_overwritten(tmp_path, tree):
    write_sample(tmp_path / "out" / "test", "old", scene(1))
    before = contents(tmp_path)
    assert_refused(split(tmp_path), "out/test", "--overwrite")
    assert contents(tmp_path) == before
    result = split(tmp_path, "--overwrite")
    assert result.returncode == 0, result.stderr
    assert "old" not in sides(tmp_path / "out")[1]


def test_existing_table_stays_unless_overwritten(tmp_path, tree):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "split.csv").write_text("mine")
    assert_refused(split(tmp_path), "split.csv", "--overwrite")
    assert contents(tmp_path / "out") == {"split.csv": b"mine"}


def test_linked_picture_is_copied_as_a_file_of_its_folder(tmp_path, tree):
    store = tmp_path / "store" / "2024"
    store.mkdir(parents=True)
    picture = tree / "Folder_1" / "images" / "Folder_1.png"
    shutil.move(picture, store / "photo.png")
    picture.symlink_to(store / "photo.png")
    result = split(tmp_path)
    assert result.returncode == 0, result.stderr
    (copy,) = Path(tmp_path / "out").glob("*/Folder_1")
    assert contents(copy) == contents(tree / "Folder_1")


def test_folders_of_the_same_name_are_refused(tmp_path, tree):
    make_tree(tmp_path / "more", 1, seed=5)
    result = run_script(SCRIPT, "tree", "more", "--out", "out", cwd=tmp_path)
    assert_refused(result, "more/Folder_1/", "tree/Folder_1/", "Rename")
    assert not (tmp_path / "out").exists()


def test_split_with_an_empty_side_is_refused(tmp_path, tree):
    result = split(tmp_path, "--group", "Folder")
    assert_refused(result, "one side empty", "1 groups")
    assert not (tmp_path / "out").exists()
