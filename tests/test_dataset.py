"""Arrays from trees, and a cache that can be trusted."""

import json
import mmap
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import make_tree
from unet.files.errors import DataError, Notice
from unet.files.folders import find_samples
from unet.files.locks import held_directory
from unet.imagery.png import write_png
from unet.imagery.reading import read_image
from unet.network import sizes
from unet.training import array_files, dataset


def no_progress(iterable, total, title):
    return iterable


def must_not_read(iterable, total, title):
    raise AssertionError("the files were read again")


def load(root, size=(32, 32), classes=("building",), progress=no_progress):
    return dataset.load(find_samples(root), size, list(classes), progress)


def test_arrays_hold_the_pixels_of_the_files(tmp_path):
    tree = make_tree(tmp_path / "tree", 12)
    data = load(tree)
    assert data.X.shape == (12, 32, 32, 3)
    assert data.X.dtype == data.Y.dtype == np.uint8
    assert data.Y.shape == (12, 32, 32)
    assert data.names == [f"Folder_{k}" for k in range(1, 13)]
    for row, sample in enumerate(find_samples(tree)):
        assert np.array_equal(data.X[row], read_image(sample.image))
        union = np.zeros((32, 32), bool)
        for path in sample.masks["building"]:
            union |= read_image(path)[..., 0] > 0
        assert np.array_equal(data.Y[row], union)


def test_masks_stay_class_ids_at_another_size(tmp_path):
    data = load(make_tree(tmp_path / "tree", 3, size=50), size=(32, 48))
    assert data.X.shape == (3, 32, 48, 3)
    assert set(np.unique(data.Y)) == {0, 1}
    assert data.shapes == [[50, 50]] * 3
    assert data.scale == pytest.approx(0.8)


@pytest.mark.parametrize(("size", "told"), [(129, 1), (128, 0)])
def test_images_of_more_than_four_times_the_input_are_told_of(
    tmp_path, recwarn, size, told
):
    tree = make_tree(tmp_path / "tree", 2, size=size)
    load(tree)
    load(tree)  # from the cache
    texts = {str(w.message) for w in recwarn if w.category is Notice}
    assert len(texts) == told
    assert all("code/util/tile.py" in text for text in texts)


def test_classes_have_their_ids_and_shares(tmp_path):
    tree = make_tree(tmp_path / "tree", 2, classes=["road", "roof"])
    data = load(tree, classes=("road", "roof"))
    assert set(np.unique(data.Y)) == {0, 1, 2}
    shares = data.class_shares()
    assert shares.sum() == pytest.approx(1)
    assert shares[2] == pytest.approx((data.Y == 2).mean())
    traits = data.traits()
    assert traits.shape == (2, 5)
    assert traits[1, 1] == pytest.approx((data.Y[1] == 2).mean())
    assert traits[1, 4] == pytest.approx(data.X[1, ..., 2].mean() / 255)


def test_second_load_reads_no_file_and_is_equal(tmp_path):
    tree = make_tree(tmp_path / "tree", 4)
    first = load(tree)
    second = load(tree, progress=must_not_read)
    assert isinstance(second.X, np.memmap)
    assert np.array_equal(first.X, second.X)
    assert np.array_equal(first.Y, second.Y)
    assert first.digest == second.digest


@pytest.mark.parametrize("change", ["image", "mask added", "mask removed"])
def test_a_changed_file_is_read_again(tmp_path, change):
    tree = make_tree(tmp_path / "tree", 2)
    before = load(tree)
    folder = tree / "Folder_1"
    if change == "image":
        image = np.full((32, 32, 3), 7, np.uint8)
        write_png(folder / "images" / "Folder_1.png", image)
    elif change == "mask added":
        write_png(folder / "masks" / "new.png", np.ones((32, 32), bool))
    else:
        for path in (folder / "masks").iterdir():
            path.unlink()
    after = load(tree)
    assert before.digest != after.digest
    assert not np.array_equal(before.X[0], after.X[0]) or not np.array_equal(
        before.Y[0], after.Y[0]
    )


def test_settings_do_not_share_a_cache(tmp_path):
    tree = make_tree(tmp_path / "tree", 2)
    assert load(tree).X.shape[1] == 32
    assert load(tree, size=(16, 16)).X.shape[1] == 16
    assert load(tree, classes=("other",)).Y.max() == 0


@pytest.mark.parametrize("file", ["X.npy", "Y.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_a_damaged_cache_is_rebuilt(tmp_path, file, damage):
    tree = make_tree(tmp_path / "tree", 2)
    first = load(tree)
    X = np.array(first.X)
    (path,) = (tmp_path / "cache").glob(f"*/{file}")
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        path.write_bytes(content[:-9] + bytes(9))
    else:
        path.unlink()
    again = load(tree)
    assert np.array_equal(again.X, X)
    assert again.digest == first.digest


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["Folder_1"]},
        {"shapes": [[32, 32], [32, 0]]},
        {"shapes": [[10**30, 32]] * 2},
        {"shapes": "32"},
        {"classes": ["../roof"]},
        {"contrast": "none "},
        {"resolutions": [None, [float("nan"), 1]]},
        {"resolutions": [1, 2]},
        {"digest": 3},
        {"moon": "full"},
        "text",
        [],
        7,
    ],
)
def test_an_odd_cache_is_rebuilt(tmp_path, change):
    tree = make_tree(tmp_path / "tree", 2)
    load(tree)
    (path,) = (tmp_path / "cache").glob("*/meta.json")
    meta = json.loads(path.read_text())
    odd = {**meta, **change} if isinstance(change, dict) else change
    path.write_text(json.dumps(odd))
    data = load(tree)
    assert data.names == ["Folder_1", "Folder_2"]
    assert data.shapes == [[32, 32], [32, 32]]
    assert data.digest == meta["digest"]
    assert json.loads(path.read_text()).keys() == meta.keys()


def test_an_interrupted_build_leaves_no_cache(tmp_path):
    tree = make_tree(tmp_path / "tree", 2)

    def interrupted(iterable, total, title):
        yield next(iter(iterable))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(tree, progress=interrupted)
    assert list((tmp_path / "cache").iterdir()) == []


def _digest_of(tree):
    return load(tree).digest


def test_processes_at_once_get_the_same_data(tmp_path):
    tree = make_tree(tmp_path / "tree", 20)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        digests = pool.map(_digest_of, [tree] * 6, chunksize=1)
    assert len(set(digests)) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_bad_mask_is_named(tmp_path):
    tree = make_tree(tmp_path / "tree", 2)
    wrong = tree / "Folder_2" / "masks" / "wrong.png"
    write_png(wrong, np.ones((8, 9), bool))
    with pytest.raises(DataError, match=r"wrong.png.*32 x 32.*9 x 8"):
        load(tree)


def test_unlabelled_trees_are_refused(tmp_path):
    tree = tmp_path / "tree"
    write_png(tree / "a" / "images" / "a.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="masks"):
        dataset.labelled(find_samples(tree), tree)


@pytest.mark.parametrize("side", [0, 8, 100, 129])
def test_sides_that_cannot_be_halved_are_refused(side):
    with pytest.raises(DataError, match="multiple of 16"):
        sizes.check_size((128, side))


def test_what_a_killed_process_left_in_the_cache_is_removed(tmp_path):
    tree = make_tree(tmp_path / "tree", 2)
    load(tree)
    (folder,) = dataset.cache_directory().iterdir()
    shutil.rmtree(folder)
    left, young, held = (
        folder.with_name(f".{folder.name}.{end}") for end in "abc"
    )
    for path in (left, young, held):
        path.mkdir()
        (path / "X.npy").touch()
    for path in (left, held):
        os.utime(path, (0, 0))
    with held_directory(held):
        load(tree)
    remaining = set(dataset.cache_directory().iterdir())
    assert remaining == {folder, young, held}


def resident():
    """Bytes of files that are mapped into this process' memory."""
    pages = Path("/proc/self/statm").read_text().split()[2]
    return int(pages) * mmap.PAGESIZE


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="Linux alone tells"
)
def test_few_rows_of_a_large_array_stay_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "ROWS_AT_ONCE", 8)
    written = array_files.new_array(tmp_path / "a.npy", (64, 1 << 20))
    before = resident()
    for row in range(64):
        written[row] = row
    array_files.let_go(written)
    assert resident() - before < 8 << 20
    array = np.load(tmp_path / "a.npy", mmap_mode="r")
    rows = []
    for row in array_files.in_turn(array):
        rows.append((row[0], row[-1]))
        assert resident() - before < 16 << 20
    assert rows == [(k, k) for k in range(64)]
    chosen = array_files.in_turn(array, [5, 3])
    assert [row[0] for row in chosen] == [5, 3]
