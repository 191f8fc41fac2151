"""The Folder_n tree, groups, and files that are never half written."""

import os
import subprocess
import sys

import numpy as np
import pytest

from conftest import CODE, contents, make_tree
from unet.files.atomic import new_tree, refuse_existing, replacing, write_text
from unet.files.csv_tables import read_table
from unet.files.errors import DataError
from unet.files.folders import (
    DEFAULT_CLASS,
    class_names,
    find_samples,
    list_images,
    natural,
    read_sample,
)
from unet.files.splits import group_names, shuffled_groups, spread, take_groups


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_names_are_sorted_as_people_count():
    names = ["Folder_10", "folder_2", "Folder_1", "b", "10", "9", "a_2_b_10",
             "a_2_b_9"]  # fmt: skip
    assert sorted(names, key=natural) == [
        "9", "10", "a_2_b_9", "a_2_b_10", "b", "Folder_1", "folder_2",
        "Folder_10",
    ]  # fmt: skip


def test_superscript_digits_in_a_name_can_be_sorted():
    assert natural("5²") > natural("4")


def test_list_images_knows_endings_and_leaves_the_rest(tmp_path):
    touch(tmp_path, "b10.PNG", "b9.jpg", "a.TIFF", "notes.txt", ".c.png",
          "no_ending", "x.png/inside")  # fmt: skip
    names = [path.name for path in list_images(tmp_path)]
    assert names == ["a.TIFF", "b9.jpg", "b10.PNG"]


def test_sample_with_its_masks_in_natural_order(tmp_path):
    touch(tmp_path, "A/images/A.JPG", "A/masks/A_mask_10.png",
          "A/masks/A_mask_9.png", "A/masks/notes.txt")  # fmt: skip
    sample = read_sample(tmp_path / "A")
    assert sample.name == "A"
    assert sample.image == tmp_path / "A" / "images" / "A.JPG"
    assert list(sample.masks) == [DEFAULT_CLASS]
    names = [path.name for path in sample.masks[DEFAULT_CLASS]]
    assert names == ["A_mask_9.png", "A_mask_10.png"]


def test_no_masks_folder_is_unlabelled_and_an_empty_one_is_nothing(tmp_path):
    touch(tmp_path, "A/images/A.png", "B/images/B.png", "B/masks/.keep")
    assert read_sample(tmp_path / "A").masks is None
    assert read_sample(tmp_path / "B").masks == {}


def test_masks_in_class_folders(tmp_path):
    touch(tmp_path, "A/images/A.png", "A/masks/road/A_mask_1.png",
          "A/masks/house/A_mask_2.png", "A/masks/.hidden/x.png")  # fmt: skip
    masks = read_sample(tmp_path / "A").masks
    assert {name: [p.name for p in paths] for name, paths in masks.items()} == {
        "house": ["A_mask_2.png"],
        "road": ["A_mask_1.png"],
    }


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["A/images/notes.txt"], "exactly one image.*none"),
        (
            ["A/images/a.png", "A/images/b.jpg"],
            r"exactly one image.*a\.png, b\.jpg",
        ),
        (
            ["A/images/A.png", "A/masks/1.png", "A/masks/road/2.png"],
            r"masks: .*both \(1\.png and road/\)",
        ),
    ],
    ids=["no image", "two images", "loose masks and class folders"],
)
def test_folder_that_is_no_sample_is_refused_by_name(tmp_path, files, words):
    touch(tmp_path, *files)
    with pytest.raises(DataError, match=f"A/.*{words}"):
        read_sample(tmp_path / "A")


def test_find_samples_in_natural_order_beside_other_folders(tmp_path):
    touch(tmp_path, "F_10/images/a.png", "F_2/images/a.png", "notes/x.txt",
          "report.csv")  # fmt: skip
    assert [s.name for s in find_samples(tmp_path)] == ["F_2", "F_10"]


def test_find_samples_takes_one_samples_own_directory(tmp_path, monkeypatch):
    touch(tmp_path, "F_2/images/a.png")
    assert [s.name for s in find_samples(tmp_path / "F_2")] == ["F_2"]
    monkeypatch.chdir(tmp_path / "F_2")
    assert [s.name for s in find_samples(".")] == ["F_2"]


def test_find_samples_says_what_is_missing(tmp_path):
    touch(tmp_path, "file.png", "empty/x.txt")
    for name, found in (
        ("none", "found nothing"),
        ("file.png", "found a file"),
        ("empty", "found none"),
    ):
        with pytest.raises(DataError, match=f"{name}: expected.*{found}"):
            find_samples(tmp_path / name)


def test_class_names_of_all_samples_together(tmp_path):
    touch(tmp_path, "A/images/A.png", "A/masks/road/1.png",
          "B/images/B.png", "B/masks/house/1.png",
          "C/images/C.png")  # fmt: skip
    assert class_names(find_samples(tmp_path)) == ["house", "road"]


def test_without_any_mask_the_articles_class_is_meant(tmp_path):
    touch(tmp_path, "A/images/A.png", "B/images/B.png", "B/masks/.keep")
    assert class_names(find_samples(tmp_path)) == [DEFAULT_CLASS]


NAMES = ["banepa_00_01", "banepa_00_02", "aoi_3"]


@pytest.mark.parametrize(
    ("rule", "groups"),
    [
        (None, NAMES),
        (r"^([a-z]+)_", ["banepa", "banepa", "aoi"]),
        (r"[a-z]+", ["banepa", "banepa", "aoi"]),
        (r"_(\d+)(_|$)", ["00", "00", "3"]),
        (r"\d+$", ["01", "02", "3"]),
    ],
)
def test_groups_by_regular_expression(rule, groups):
    assert group_names(NAMES, rule) == groups


@pytest.mark.parametrize("column", ["group", "area"])
def test_groups_by_table(tmp_path, column):
    path = tmp_path / "groups.CSV"
    path.write_text(f"{column},name\nN,aoi_3\n07,banepa_00_02\n"
                    "07,banepa_00_01\nunused,other\n")  # fmt: skip
    assert group_names(NAMES, str(path)) == ["07", "07", "N"]


def test_column_group_goes_before_area(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("name,area,group\na,1,x\n")
    assert group_names(["a"], path) == ["x"]


def test_bad_rules_for_groups_are_refused(tmp_path):
    (tmp_path / "few.csv").write_text("name,group\naoi_3,a\n")
    (tmp_path / "columns.csv").write_text("name,colour\naoi_3,a\n")
    (tmp_path / "names.csv").write_text("title,group\naoi_3,a\n")
    for rule, words in (
        ("(", r"'\(': expected a regular expression.*unterminated"),
        ("^banepa", r"\^banepa: gives no group to 1 of 3.*aoi_3"),
        (
            tmp_path / "few.csv",
            "few.csv: gives no group to 2 of 3.*banepa_00_01",
        ),
        (tmp_path / "columns.csv", "'group' .or 'area'., found name, colour"),
        (tmp_path / "names.csv", "columns name, found title, group"),
        (tmp_path / "none.csv", "none.csv: expected a CSV file"),
    ):
        with pytest.raises(DataError, match=words):
            group_names(NAMES, rule)


def test_bracket_that_takes_no_part_in_the_match_gives_no_group():
    with pytest.raises(DataError, match=r"gives no group to 1 of 2.*b1"):
        group_names(["ab2", "b1"], "(a)?b")


def test_table_is_text_and_may_come_from_excel(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfname,group\r\n007,NA\r\n")
    table = read_table(path, ["name"])
    assert table.to_dict("records") == [{"name": "007", "group": "NA"}]


def test_ragged_table_is_refused_in_one_line(tmp_path):
    (tmp_path / "t.csv").write_text("name,group\na,1\nb,2,3\n")
    with pytest.raises(DataError, match=r"t\.csv: expected a CSV") as error:
        read_table(tmp_path / "t.csv", ["name"])
    assert "\n" not in str(error.value)


GROUPS = [f"area_{i % 10}" for i in range(100)]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(5))
def test_whole_groups_are_taken_up_to_the_share(share, seed):
    taken = take_groups(GROUPS, share, seed)
    assert taken.dtype == bool
    assert taken.sum() == 100 * share
    inside = {g for g, t in zip(GROUPS, taken, strict=True) if t}
    outside = {g for g, t in zip(GROUPS, taken, strict=True) if not t}
    assert not inside & outside


def test_share_is_met_about_with_groups_of_many_sizes():
    groups = [name for k in range(1, 21) for name in [f"g{k}"] * k]
    for seed in range(20):
        share = take_groups(groups, 0.3, seed).mean()
        assert 0.25 <= share <= 0.35


def test_one_huge_group_does_not_swallow_the_training_data():
    groups = ["huge"] * 90 + ["a", "b", "c", "d", "e"] * 2
    for seed in range(10):
        taken = take_groups(groups, 0.1, seed)
        assert taken.sum() == 10
        assert not taken[:90].any()


def test_a_group_is_taken_that_fills_more_than_it_overshoots():
    groups = ["a"] * 6 + ["b"] * 4
    counts = {take_groups(groups, 0.5, seed).sum() for seed in range(20)}
    assert counts == {4, 6}


def test_choice_depends_on_the_seed_alone():
    names = [f"Folder_{i}" for i in range(1, 31)]
    first = take_groups(names, 0.3, 7)
    np.testing.assert_array_equal(first, take_groups(names, 0.3, 7))
    assert (first != take_groups(names, 0.3, 8)).any()


def test_choice_does_not_depend_on_the_order_of_the_samples():
    names = [f"Folder_{i}" for i in range(1, 31)]
    there = dict(zip(names, take_groups(names, 0.3, 7), strict=True))
    names = names[::-1]
    back = dict(zip(names, take_groups(names, 0.3, 7), strict=True))
    assert there == back


def test_choice_is_the_same_in_every_process():
    code = (
        "from unet.files.splits import shuffled_groups as s;"
        "print(s([c for a in 'abcdef' for c in (a, a.upper())], 0))"
    )
    runs = {
        subprocess.check_output(
            [sys.executable, "-c", code],
            cwd=CODE,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for seed in "01"
    }
    assert len(runs) == 1


@pytest.mark.parametrize("groups", [["a"] * 5, ["a"] * 6 + ["b"] * 4])
def test_something_is_taken_if_anything_is_wanted(groups):
    taken = take_groups(groups, 0.01, 0)
    assert set(np.array(groups)[taken]) == {groups[-1]}


def test_nothing_is_taken_if_nothing_is_wanted_and_all_if_all():
    assert not take_groups(GROUPS, 0, 0).any()
    assert take_groups(GROUPS, 1, 0).all()


def test_shuffled_groups_are_the_distinct_groups():
    assert sorted(shuffled_groups(["b", "a", "b"], 0)) == ["a", "b"]
    assert len({tuple(shuffled_groups("abcdef", s)) for s in range(9)}) > 5


def test_spread_takes_first_and_last():
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread(range(3), 4) == [0, 1, 2]


def test_replacing_keeps_the_ending_and_makes_directories(tmp_path):
    path = tmp_path / "new" / "deep" / "a.keras"
    with replacing(path) as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == path.parent
        temporary.write_text("whole")
        assert not path.exists()
    assert contents(tmp_path) == {"new/deep/a.keras": b"whole"}


def test_replacing_keeps_the_old_file_when_writing_fails(tmp_path):
    write_text(tmp_path / "a.txt", "old")

    def fail():
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert contents(tmp_path) == {"a.txt": b"old"}


def test_written_text_is_utf_8_and_replaces(tmp_path):
    write_text(tmp_path / "a.txt", "old and long")
    write_text(tmp_path / "a.txt", "né")
    assert contents(tmp_path) == {"a.txt": b"n\xc3\xa9"}


def test_existing_files_are_refused_unless_overwritten(tmp_path):
    touch(tmp_path, "b.txt")
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    refuse_existing(paths[:1], overwrite=False)
    refuse_existing(paths, overwrite=True)
    with pytest.raises(DataError, match=r"b\.txt: exists.*--overwrite"):
        refuse_existing(paths, overwrite=False)


def fill(out, inputs=(), overwrite=False, stop=None):
    """A tree of one file by new_tree, with an error in the middle."""
    with new_tree(out, inputs, overwrite) as tree:
        assert tree.parent == out.parent
        (tree / "A" / "images").mkdir(parents=True)
        (tree / "A" / "images" / "A.png").write_text("new")
        if stop:
            raise stop


NEW = {"out/A/images/A.png": b"new"}


def test_new_tree_appears_with_its_parents(tmp_path):
    fill(tmp_path / "deep" / "out")
    assert contents(tmp_path / "deep") == NEW


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_new_tree_that_fails_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        fill(tmp_path / "out", stop=error)
    assert list(tmp_path.iterdir()) == []


def test_new_tree_that_fails_keeps_the_old_one(tmp_path):
    touch(tmp_path, "out/Old/images/Old.png")
    with pytest.raises(ValueError):
        fill(tmp_path / "out", overwrite=True, stop=ValueError)
    assert contents(tmp_path) == {"out/Old/images/Old.png": b""}


def test_new_tree_takes_an_empty_directory(tmp_path):
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out")
    assert contents(tmp_path) == NEW


def test_new_tree_replaces_the_whole_old_tree_if_told(tmp_path):
    touch(tmp_path, "out/Old/images/Old.png", "out/Old/masks/a.png")
    with pytest.raises(DataError, match=r"out: exists.*--overwrite"):
        fill(tmp_path / "out")
    fill(tmp_path / "out", overwrite=True)
    assert contents(tmp_path) == NEW


@pytest.mark.parametrize(
    "foreign", ["notes.md", "thesis/chapter.tex", "Old/notes.md"]
)
def test_new_tree_does_not_replace_what_is_not_ours(tmp_path, foreign):
    touch(tmp_path, "out/Old/images/Old.png", f"out/{foreign}")
    before = contents(tmp_path)
    with pytest.raises(DataError, match=foreign.split("/")[0]):
        fill(tmp_path / "out", overwrite=True)
    assert contents(tmp_path) == before


def test_new_tree_does_not_replace_a_file(tmp_path):
    (tmp_path / "out").write_text("a letter")
    with pytest.raises(DataError, match="out"):
        fill(tmp_path / "out", overwrite=True)
    assert contents(tmp_path) == {"out": b"a letter"}


@pytest.mark.parametrize("out", ["in", "in/out", "in/..", "link/out"])
def test_new_tree_and_its_input_do_not_hold_each_other(tmp_path, out):
    data = make_tree(tmp_path / "top" / "in", 1)
    (tmp_path / "top" / "link").symlink_to(data)
    before = contents(tmp_path)
    with pytest.raises(DataError, match="may not lie in its input"):
        fill(tmp_path / "top" / out, [data], overwrite=True)
    assert contents(tmp_path) == before


def test_classes_come_in_the_order_that_is_written_beside_them(tmp_path):
    make_tree(tmp_path / "train", 3, classes=["a", "b", "c"])
    samples = find_samples(tmp_path / "train")
    assert class_names(samples) == ["a", "b", "c"]
    (tmp_path / "classes.txt").write_text("c\nnever\n\na \n")
    assert class_names(samples) == ["c", "a", "b"]
    (tmp_path / "train" / "classes.txt").write_text("b\n")
    assert class_names(samples) == ["b", "a", "c"]
