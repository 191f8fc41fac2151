"""Tiles by blocks of ground: no ground is on both sides."""

import csv

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform as project

from conftest import assert_refused, run_script, write_sample
from unet.files import splits
from unet.files.blocks import Groups, block_names, named_footprints, sharing
from unet.files.errors import DataError
from unet.files.tile_names import TileName, tile_name
from unet.imagery.georeference import Georeference, write_georeference
from unet.imagery.reading import read_image


def write_tiles(root, scene, places, size=32, seed=0, crs=None, metres=1.0):
    """Write noisy tiles with a roof each, on the ground if there is a CRS."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), bool)
    mask[4:9, 3:9] = True
    if crs:
        x, y = project("EPSG:32645", crs, [400_000], [3_000_000])
        if CRS.from_user_input(crs).is_geographic:
            metres /= 111_320
        corner = Affine(metres, 0, x[0], 0, -metres, y[0])
    for row, column in places:
        name = str(TileName(scene, row, column, size))
        image = rng.integers(0, 255, (size, size, 3), dtype=np.uint8)
        write_sample(root, name, image, [mask])
        if crs:
            place = Georeference(CRS.from_user_input(crs), corner)
            path = root / name / "images" / f"{name}.png"
            write_georeference(path, place.moved(row, column))


def grid(rows, columns, step):
    return [(r * step, c * step) for r in range(rows) for c in range(columns)]


def rows_of(out):
    with (out / "split.csv").open() as file:
        return list(csv.DictReader(file))


def by_side(out):
    """Dict from a side to the ``TileName`` of its folders."""
    return {
        side: [tile_name(path.name) for path in (out / side).iterdir()]
        for side in ("train", "test")
    }


def common(first, second, margin=0):
    """Whether two tiles of a scene share ground, or are nearer than that."""
    if first.scene != second.scene:
        return False
    return all(
        getattr(first, axis) < getattr(second, axis) + second.size + margin
        and getattr(second, axis) < getattr(first, axis) + first.size + margin
        for axis in ("row", "column")
    )


def test_names_say_scene_row_column_and_size():
    name = TileName("a_r1_c2_s3", 64, 100_000, 256)
    assert str(name) == "a_r1_c2_s3_r00064_c100000_s256"
    assert tile_name(str(name)) == name
    assert tile_name("Folder_1") is tile_name("a_r1_c2") is None


def test_blocks_are_squares_in_which_centres_lie():
    names = [str(TileName("a", row, column, 10)) for row, column in
             grid(4, 5, 10)]  # fmt: skip
    blocks = block_names(named_footprints(names), 20)
    blocks = np.reshape([name.removeprefix("a block ") for name in blocks],
                        (4, 5)).tolist()  # fmt: skip
    assert blocks[0] == blocks[1] == ["0 0", "0 0", "0 1", "0 1", "0 2"]
    assert blocks[2] == blocks[3] == ["1 0", "1 0", "1 1", "1 1", "1 2"]


@pytest.mark.parametrize(
    ("rows", "columns", "blocks"), [(12, 16, 12), (6, 8, 12), (3, 5, 15)]
)
def test_little_ground_has_smaller_blocks(rows, columns, blocks):
    names = [str(TileName("a", r, c, 8)) for r, c in grid(rows, columns, 8)]
    assert len(set(block_names(named_footprints(names)))) == blocks


def test_tiles_that_touch_share_no_ground():
    names = [str(TileName("a", 0, column, 10)) for column in (0, 10, 19)]
    footprints = [*named_footprints(names), None]
    assert sharing(footprints) == [set(), {2}, {1}, set()]
    assert sharing(footprints, margin=1) == [{1}, {0, 2}, {1}, set()]
    other = named_footprints([names[0], names[0].replace("a_", "b_")])
    assert sharing(other) == [set(), set()]


@pytest.mark.parametrize("crs", [None, "EPSG:32645", "EPSG:4326"])
def test_no_ground_is_on_both_sides(tmp_path, script, capsys, crs):
    write_tiles(tmp_path / "t", "a", grid(9, 13, 16), crs=crs)
    script("split", "t", "--blocks", "64px", "--out", "out")
    sides = by_side(tmp_path / "out")
    assert sides["train"] and sides["test"]
    assert not any(common(a, b) for a in sides["train"] for b in sides["test"])
    rows = rows_of(tmp_path / "out")
    left_out = [tile_name(row["name"]) for row in rows
                if row["split"] == "margin"]  # fmt: skip
    assert len(left_out) + len(sides["train"]) + len(sides["test"]) == len(rows)
    assert all(any(common(a, b) for b in sides["test"]) for a in left_out)
    assert f"{len(left_out)} tiles left out" in capsys.readouterr().out
    groups = {side: {row["group"] for row in rows if row["split"] == side}
              for side in sides}  # fmt: skip
    assert not groups["train"] & groups["test"]
    assert read_image(tmp_path / "out" / "tiles.png").std() > 10


def test_a_margin_keeps_tiles_apart(tmp_path, script):
    write_tiles(tmp_path / "t", "a", grid(8, 8, 32), crs="EPSG:32645", metres=2)
    script("split", "t", "--blocks", "128m", "--out", "touch")
    sides = by_side(tmp_path / "touch")
    assert len(sides["train"]) + len(sides["test"]) == 64
    assert any(common(a, b, 1) for a in sides["train"] for b in sides["test"])
    script("split", "t", "--blocks", "128m", "--margin", "10m", "--out", "gap")
    sides = by_side(tmp_path / "gap")
    assert len(sides["train"]) + len(sides["test"]) < 64
    near = [common(a, b, 5) for a in sides["train"] for b in sides["test"]]
    assert not any(near)


def test_scenes_of_one_place_share_its_ground(tmp_path, script):
    """Whatever reference systems they have: here two years of a town."""
    places = grid(6, 6, 32)
    write_tiles(tmp_path / "t", "old", places, crs="EPSG:32645")
    write_tiles(tmp_path / "t", "new", places, crs="EPSG:3857", seed=1,
                metres=1 / np.cos(np.radians(27.12)))  # fmt: skip
    script("split", "t", "--blocks", "64m", "--out", "out")
    sides = by_side(tmp_path / "out")
    shown = {side: {(tile.row, tile.column) for tile in tiles}
             for side, tiles in sides.items()}  # fmt: skip
    assert {tile.scene for tile in sides["test"]} == {"old", "new"}
    assert not shown["train"] & shown["test"]


def test_a_division_can_be_repeated(tmp_path, script):
    write_tiles(tmp_path / "t", "a", grid(9, 9, 16))
    script("split", "t", "--out", "one")
    script("split", "t", "--from", "one/split.csv", "--group",
           "one/split.csv", "--out", "two")  # fmt: skip
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "two")
    assert "margin" in {row["split"] for row in rows_of(tmp_path / "two")}


def test_bare_water_on_both_sides_is_no_copy(tmp_path, script):
    water = np.full((32, 32, 3), 90, np.uint8)
    for row, column in grid(4, 4, 32):
        name = str(TileName("lake", row, column, 32))
        write_sample(tmp_path / "t", name, water, [np.eye(32, dtype=bool)])
    script("split", "t", "--out", "out")
    assert len(rows_of(tmp_path / "out")) == 16


def test_validation_shares_no_ground_with_training(tmp_path, script):
    """Neither after split.py nor with the tree of tile.py itself."""
    write_tiles(tmp_path / "t", "a", grid(15, 15, 16))
    script("split", "t", "--blocks", "64px", "--out", "out")
    train = [str(tile) for tile in by_side(tmp_path / "out")["train"]]
    every = [str(TileName("a", *place, 32)) for place in grid(15, 15, 16)]
    table = tmp_path / "out" / "split.csv"
    for names, rule in ((train, table), (every, None), (every, r"_(r\d+)_")):
        groups = splits.group_names(names, rule)
        traits = np.zeros((len(names), 1))
        fit, validation = splits.split_validation(
            groups, 0.15, np.ones(len(names), bool), traits
        )
        assert len(fit) > len(validation) > 0
        tiles = [tile_name(name) for name in names]
        assert not any(common(tiles[i], tiles[j]) for i in fit
                       for j in validation)  # fmt: skip


def test_groups_near_others_are_those_of_the_table(tmp_path):
    table = tmp_path / "split.csv"
    table.write_text("name,group,near\na,one,two/three\nb,two,one\nc,three,\n")
    groups = splits.group_names(["a", "b", "c"], table)
    assert groups == ["one", "two", "three"]
    assert groups.near == [{"two", "three"}, {"one"}, set()]
    assert groups.beside([False, True, False]).tolist() == [True, False, False]
    assert Groups(["x"]).beside([True]).tolist() == [False]


def test_blocks_are_refused_where_nobody_knows_them(tmp_path, script):
    write_tiles(tmp_path / "t", "a", grid(4, 4, 32))
    with pytest.raises(DataError, match=r"--blocks 64m: .* Give pixels"):
        script("split", "t", "--blocks", "64m")
    write_sample(tmp_path / "t", "Folder_1", np.zeros((8, 8, 3), np.uint8), [])
    with pytest.raises(DataError, match="Folder_1: expected tiles"):
        script("split", "t", "--blocks", "64px")
    for words, said in (
        (["--blocks", "64"], "such as 300m or 1024px, found 64"),
        (["--blocks", "64px", "--group", "a"], "without --group"),
    ):
        result = run_script("util/split.py", "t", *words, cwd=tmp_path)
        assert_refused(result, said)
