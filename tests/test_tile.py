"""tile.py: scenes and annotations to tiles, and tiles by blocks of ground."""

import json

import cv2
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.warp import transform as project

from conftest import assert_refused, run_script
from unet.files.errors import DataError
from unet.files.folders import Sample, find_samples
from unet.geometry.instances import Instance
from unet.imagery.georeference import read_georeference
from unet.imagery.mask_values import read_mask
from unet.imagery.png import write_png
from unet.imagery.rasters import Scene
from unet.imagery.reading import read_image
from unet.imagery.resizing import resize_image
from unet.network.contract import Contract
from unet.prediction.stream import find_sources
from unet.prediction.strip import Settings
from unet.training import dataset

UTM = "EPSG:32645"
CORNER, METRES = (400_000.0, 3_000_000.0), 0.5


def picture(height, width, seed=0):
    """A noisy picture: no two of its parts are alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (height // 16 + 1, width // 16 + 1, 3))
    smooth = cv2.resize(coarse.astype(np.float32), (width, height))
    return (smooth + rng.integers(0, 30, smooth.shape)).astype(np.uint8)


def write_scene(path, image, metres=METRES, crs=UTM, corner=CORNER, **more):
    """Write a GeoTIFF with its upper left corner at a place."""
    transform = Affine(metres, 0, corner[0], 0, -metres, corner[1])
    image = image if image.ndim == 3 else image[..., None]
    with rasterio.open(
        path, "w", driver="GTiff", height=image.shape[0],
        width=image.shape[1], count=image.shape[2], dtype=image.dtype,
        crs=crs, transform=transform, **more,
    ) as raster:  # fmt: skip
        raster.write(np.moveaxis(image, 2, 0))
    return path


def write_geojson(path, polygons, labels=None, crs="EPSG:4326"):
    """Write polygons that are given in pixels of the scene of ``CORNER``."""

    def on_ground(points):
        x = CORNER[0] + points[:, 0] * METRES
        y = CORNER[1] - points[:, 1] * METRES
        return np.column_stack(project(UTM, crs, x, y))

    features = [
        {
            "type": "Feature",
            "properties": {"class": labels[k]} if labels else {},
            "geometry": shapely.geometry.mapping(
                shapely.transform(polygon, on_ground)
            ),
        }
        for k, polygon in enumerate(polygons)
    ]
    name = f"urn:ogc:def:crs:{crs.replace(':', '::')}"
    if crs == "EPSG:4326":
        name = "urn:ogc:def:crs:OGC:1.3:CRS84"
    path.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "crs": {"type": "name", "properties": {"name": name}},
                "features": features,
            }
        )
    )
    return path


def houses(seed, count, shape, side=30):
    """Polygons, turned by any angle, that may overlap and leave the scene."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        width, height = rng.uniform(6, side, 2)
        box = shapely.box(0, 0, width, height)
        box = shapely.affinity.rotate(box, rng.uniform(0, 90))
        at = rng.uniform(0, shape[::-1])
        result.append(shapely.affinity.translate(box, *at))
    return result


def tiles_in(tree):
    """Dict from (row, column) to the sample of a tile."""
    found = {}
    for sample in find_samples(tree):
        _, row, column, _ = sample.name.rsplit("_", 3)
        found[int(row[1:]), int(column[1:])] = sample
    return found


def masks_of(sample, name="building"):
    """The masks of a tile, bool arrays, in the order of their numbers."""
    paths = (sample.masks or {}).get(name, [])
    paths = sorted(paths, key=lambda path: int(path.stem.rsplit("_", 1)[1]))
    return [read_mask(path) for path in paths]


def assert_cut_from(samples, wholes, size=64):
    """Masks of tiles are those of the whole scene, cut there, in order."""
    for (row, column), sample in samples.items():
        at = np.s_[row : row + size, column : column + size]
        expected = [whole[at] for whole in wholes if whole[at].any()]
        cut = masks_of(sample)
        assert len(cut) == len(expected), sample.name
        assert all(map(np.array_equal, cut, expected)), sample.name


def test_tiles_are_the_scene_and_its_masks_cut_there(tmp_path, script, capsys):
    image = picture(192, 320)
    write_scene(tmp_path / "town.tif", image)
    polygons = houses(1, 60, image.shape[:2])
    write_geojson(tmp_path / "roofs.geojson", polygons, crs=UTM)
    script("tile", "town.tif", "roofs.geojson", "--size", 64, "--out", "t")
    samples = tiles_in(tmp_path / "t")
    assert set(samples) == {
        (row, column) for row in (0, 64, 128)
        for column in (0, 64, 128, 192, 256)
    }  # fmt: skip
    assert samples[64, 128].name == "town_r00064_c00128_s64"
    for (row, column), sample in samples.items():
        expected = image[row : row + 64, column : column + 64]
        assert np.array_equal(read_image(sample.image), expected)
        place = read_georeference(sample.image)
        assert place.crs == rasterio.crs.CRS.from_user_input(UTM)
        x, y = CORNER[0] + column * METRES, CORNER[1] - row * METRES
        assert place.transform * (0, 0) == pytest.approx((x, y), abs=1e-6)
        assert place.transform.a == METRES
    wholes = [Instance(polygon).mask(image.shape[:2]) for polygon in polygons]
    assert_cut_from(samples, wholes)
    count = sum(len(masks_of(sample)) for sample in samples.values())
    printed = capsys.readouterr().out
    assert f"15 tiles of 64 x 64 pixels from 1 scene, {count} masks" in printed


def test_masks_are_those_of_the_converter(tmp_path, script):
    """Polygons in degrees, several classes, the later one wins."""
    image = picture(128, 192)
    (tmp_path / "scenes").mkdir()
    write_scene(tmp_path / "scenes" / "a.tif", image)
    polygons = houses(2, 40, image.shape[:2], side=60)
    labels = [("roof", "road", "pool")[k % 3] for k in range(40)]
    write_geojson(tmp_path / "a.geojson", polygons, labels)
    options = ("--classes", "road,roof")
    script("tile", "scenes", "a.geojson", "--size", 64, *options, "--out", "t")
    script("polygon_to_mask", "scenes", "a.geojson", *options, "--out", "f")
    (whole,) = find_samples(tmp_path / "f")
    assert (tmp_path / "t" / "classes.txt").read_text() == "road\nroof\n"
    samples = tiles_in(tmp_path / "t")
    assert len(samples) == 6
    for (row, column), sample in samples.items():
        at = np.s_[row : row + 64, column : column + 64]
        for name in ("road", "roof"):
            cut = [mask[at] for mask in masks_of(whole, name)]
            cut = [mask for mask in cut if mask.any()]
            assert len(cut) == len(masks_of(sample, name))
            assert all(map(np.array_equal, cut, masks_of(sample, name)))


def test_pixel_polygons_annotate_the_whole_of_a_plain_scene(tmp_path, script):
    image = picture(128, 128)
    write_png(tmp_path / "photo.png", image)
    (tmp_path / "photo.txt").write_text("[[10, 10], [30, 10], [30, 40]]")
    script("tile", "photo.png", "photo.txt", "--size", 64, "--out", "t")
    samples = tiles_in(tmp_path / "t")
    assert [bool(sample.masks) for sample in samples.values()] == [
        True, False, False, False
    ]  # fmt: skip
    assert all(sample.masks is not None for sample in samples.values())
    assert not list((tmp_path / "t").rglob("*.xml"))


def test_tiles_beyond_all_polygons_are_unlabelled(tmp_path, script, capsys):
    """Nobody has looked there, unlike between two houses."""
    image = picture(64, 320)
    write_scene(tmp_path / "a.tif", image)
    polygons = [
        shapely.box(5, 0, 20, 64),
        shapely.box(140, 0, 170, 64),
        shapely.box(195, 10, 205, 20),  # alone on a tile
    ]
    write_geojson(tmp_path / "b.geojson", polygons)
    script("tile", "a.tif", "b.geojson", "--size", 64, "--out", "t")
    masks = [sample.masks for sample in tiles_in(tmp_path / "t").values()]
    assert [mask if mask is None else len(mask) for mask in masks] == [
        1, 0, 1, None, None
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert "2 tiles that no annotation covers" in printed
    assert "1 objects left out: on no labelled tile" in printed


def test_no_data_is_left_out_and_counted(tmp_path, script, capsys):
    image = np.maximum(picture(128, 192), 1)
    image[:64, 64:128] = 0  # all of a tile
    image[64:, :40] = 0  # more than half of one
    image[64:, 64:80] = 0  # less
    write_scene(tmp_path / "a.tif", image, nodata=0)
    write_geojson(tmp_path / "a.geojson", [shapely.box(0, 0, 192, 128)])
    script("tile", "a.tif", "a.geojson", "--size", 64, "--out", "t")
    assert set(tiles_in(tmp_path / "t")) == {
        (0, 0), (0, 128), (64, 64), (64, 128)
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "2 tiles left out: half or more" in printed
    samples = tiles_in(tmp_path / "t")
    assert not samples[0, 0].ignored
    unknown = np.zeros((64, 64), bool)
    unknown[:, :16] = True
    (ignored,) = map(read_mask, samples[64, 64].ignored)
    assert np.array_equal(ignored, unknown)
    assert "ignored: 1024 pixels (6.2%) of 1 scenes, 0 objects" in printed


def test_ignored_polygons_and_ground_beyond_are_ignored(tmp_path, script):
    write_scene(tmp_path / "a.tif", picture(64, 128))
    boxes = [(0, 0, 40, 64), (10, 0, 20, 64), (30, 0, 110, 10)]
    polygons = [shapely.box(*box) for box in boxes]
    labels = ["Ignore", "roof", "roof"]
    write_geojson(tmp_path / "a.geojson", polygons, labels, crs=UTM)
    script("tile", "a.tif", "a.geojson", "--size", 64, "--out", "t")
    samples = tiles_in(tmp_path / "t")
    assert list(samples[0, 0].masks) == ["building"]
    (ignored,) = map(read_mask, samples[0, 0].ignored)
    expected = np.zeros((64, 64), bool)
    expected[:, :40] = True
    # What is drawn later covers it.
    expected[:, 10:20] = expected[:10, 30:] = False
    assert np.array_equal(ignored, expected)
    first, second = masks_of(samples[0, 0])[::-1]
    assert (first.sum(), second.sum()) == (640, 340)
    # Somebody has looked at the extent of all polygons alone.
    (beyond,) = map(read_mask, samples[0, 64].ignored)
    assert beyond[:, 46:].all() and not beyond[:, :46].any()


def test_a_share_of_the_empty_tiles_is_kept(tmp_path, script, capsys):
    write_png(tmp_path / "a.png", picture(160, 320))
    (tmp_path / "a.txt").write_text("[[2, 2], [9, 2], [9, 9]]")
    for share, kept in ((0, 0), (0.25, 12), (1, 49)):
        words = ("--size", 32, "--keep-empty", share, "--out", f"t{share}")
        script("tile", "a.png", "a.txt", *words)
        samples = tiles_in(tmp_path / f"t{share}").values()
        assert sum(bool(sample.masks) for sample in samples) == 1
        assert abs(len(samples) - 1 - kept) <= 1
        left_out = 50 - len(samples)
        printed = capsys.readouterr().out
        assert (f"{left_out} tiles left out: nothing" in printed) == (share < 1)


def test_tiles_overlap_and_the_last_one_is_moved_in(tmp_path, script, capsys):
    image = picture(70, 200)
    write_png(tmp_path / "a.png", image)
    (tmp_path / "a.txt").write_text("[[0, 0], [150, 0], [150, 69], [0, 69]]")
    words = ("--size", 64, "--overlap", 0.5, "--out", "t")
    script("tile", "a.png", "a.txt", *words)
    samples = tiles_in(tmp_path / "t")
    assert sorted(samples) == [(0, 0), (0, 32), (0, 64), (0, 96), (0, 128)]
    share = 1 - 64 * 192 / (70 * 200)
    assert f"{share:.1%} of the pixels lie on no" in capsys.readouterr().out
    script("tile", "a.png", "a.txt", "--size", 48, "--out", "u")
    samples = tiles_in(tmp_path / "u")
    assert sorted({column for _, column in samples}) == [0, 48, 96, 144]
    assert sorted({row for row, _ in samples}) == [0]
    script("tile", "a.png", "a.txt", "--size", 40, "--out", "v")
    assert sorted({row for row, _ in tiles_in(tmp_path / "v")}) == [0, 30]
    sample = tiles_in(tmp_path / "v")[30, 40]
    assert np.array_equal(read_image(sample.image), image[30:70, 40:80])


def test_resolution_is_metres_and_pixels_are_areas(tmp_path, script):
    image = picture(256, 384)
    write_scene(tmp_path / "a.tif", image)
    polygons = houses(3, 30, image.shape[:2], side=60)
    write_geojson(tmp_path / "a.geojson", polygons)
    # UTM stretches by less than 0.05 %: 128 x 192 pixels.
    words = ("--size", 64, "--resolution", 2 * METRES, "--out", "t")
    script("tile", "a.tif", "a.geojson", *words)
    samples = tiles_in(tmp_path / "t")
    assert sorted(samples) == [
        (row, column) for row in (0, 64) for column in (0, 64, 128)
    ]  # fmt: skip
    half = resize_image(image, (128, 192)).astype(int)
    for (row, column), sample in samples.items():
        expected = half[row : row + 64, column : column + 64]
        assert abs(read_image(sample.image) - expected).max() <= 1
        place = read_georeference(sample.image)
        assert place.transform.a == 2 * METRES
        x = CORNER[0] + column * 2 * METRES
        assert (place.transform * (0, 0))[0] == pytest.approx(x)
    smaller = [shapely.affinity.scale(p, 0.5, 0.5, origin=(0, 0))
               for p in polygons]  # fmt: skip
    union = np.zeros((128, 192), bool)
    for polygon in smaller:
        union |= Instance(polygon).mask(union.shape)
    for (row, column), sample in samples.items():
        cut = np.any([np.zeros((64, 64), bool), *masks_of(sample)], axis=0)
        assert np.array_equal(cut, union[row : row + 64, column : column + 64])


def test_complete_masks_of_the_grid_and_of_others(tmp_path, script):
    """The same mask, as a picture, and at twice the resolution in degrees."""
    image = picture(128, 192)
    mask = np.zeros((128, 192), np.uint8)
    for polygon in houses(4, 25, mask.shape, side=40):
        mask[Instance(polygon).mask(mask.shape)] = 255
    write_scene(tmp_path / "a.tif", image)
    write_png(tmp_path / "a.png", mask)
    fine = np.kron(mask, np.ones((2, 2), np.uint8))
    write_scene(tmp_path / "fine.tif", fine, METRES / 2)
    for path in ("a.png", "fine.tif"):
        script("tile", "a.tif", path, "--size", 64, "--out", path[0] + "_t")
        samples = tiles_in(tmp_path / (path[0] + "_t"))
        assert len(samples) == 6
        assert_cut_from(samples, [mask > 0])
    script("tile", "a.tif", "a.png", "--size", 64, "--components", "--out", "c")
    for (row, column), sample in tiles_in(tmp_path / "c").items():
        window = mask[row : row + 64, column : column + 64]
        count, labels = cv2.connectedComponents(window, connectivity=8)
        parts = [labels == k for k in range(1, count)]
        cut = masks_of(sample)
        assert {part.tobytes() for part in parts} == {m.tobytes() for m in cut}


def test_a_mask_of_another_place_labels_what_it_covers(tmp_path, script):
    """Beyond its border, and where it has no data, nobody has looked."""
    write_scene(tmp_path / "a.tif", picture(64, 256))
    mask = np.ones((64, 200), np.uint8)
    mask[:, :64] = 9
    mask[:, 64:128] = 0
    write_scene(tmp_path / "m.tif", mask, nodata=9)
    script("tile", "a.tif", "m.tif", "--size", 64, "--out", "t")
    masks = [sample.masks for sample in tiles_in(tmp_path / "t").values()]
    assert [mask if mask is None else len(mask) for mask in masks] == [
        None, 0, 1, None
    ]  # fmt: skip
    write_png(tmp_path / "plain.png", picture(64, 256))
    with pytest.raises(DataError, match=r"m\.tif: expected the size of its"):
        script("tile", "plain.png", "m.tif", "--size", 64, "--out", "u")


def test_colours_are_classes_and_are_resampled_by_area(tmp_path, script):
    colours = np.array([(0, 0, 0), (60, 16, 152), (110, 193, 228)], np.uint8)
    ids = np.random.default_rng(5).integers(0, 3, (32, 48))
    ids = np.kron(ids, np.ones((8, 8), int))
    ids[100, 100] = 2  # less than half of a pixel
    write_scene(tmp_path / "a.tif", picture(256, 384))
    write_scene(tmp_path / "m.tif", colours[ids])
    script(
        "tile", "a.tif", "m.tif", "--size", 64, "--resolution", 4 * METRES,
        "--colours", "3C1098=roof,6EC1E4=road", "--out", "t",
    )  # fmt: skip
    sample = tiles_in(tmp_path / "t")[0, 0]
    expected = ids[2::4, 2::4][:, :64]
    assert set(sample.masks) == {"roof", "road"}
    for number, name in enumerate(("roof", "road"), start=1):
        (mask,) = masks_of(sample, name)
        assert np.array_equal(mask, expected[:64] == number)


def test_scenes_are_read_by_rows(tmp_path, script, monkeypatch):
    write_scene(tmp_path / "a.tif", picture(640, 64), tiled=True)
    write_scene(tmp_path / "m.tif", picture(640, 64)[..., 0] // 128)
    heights = []
    read = Scene.read

    def watched(self, top, bottom):
        heights.append(bottom - top)
        return read(self, top, bottom)

    monkeypatch.setattr(Scene, "read", watched)
    script("tile", "a.tif", "m.tif", "--size", 64, "--out", "t")
    assert len(tiles_in(tmp_path / "t")) == 10
    assert max(heights) <= 64
    assert sum(heights) == 640


def test_several_scenes_share_the_polygons_of_a_file(tmp_path, script):
    image = picture(64, 256)
    write_scene(tmp_path / "west.tif", image[:, :128])
    east = CORNER[0] + 128 * METRES, CORNER[1]
    write_scene(tmp_path / "east.tif", image[:, 128:], corner=east)
    polygons = houses(6, 30, (64, 256))
    write_geojson(tmp_path / "all.geojson", polygons, crs=UTM)
    words = ("--size", 64, "--out", "t")
    script("tile", "west.tif", "east.tif", "all.geojson", *words)
    names = [sample.name for sample in find_samples(tmp_path / "t")]
    assert names == [
        "east_r00000_c00000_s64", "east_r00000_c00064_s64",
        "west_r00000_c00000_s64", "west_r00000_c00064_s64",
    ]  # fmt: skip
    wholes = [Instance(polygon).mask((64, 256)) for polygon in polygons]
    for sample in find_samples(tmp_path / "t"):
        left = int(sample.name[13:18]) + 128 * sample.name.startswith("east")
        at = np.s_[:, left : left + 64]
        merged = np.any([np.zeros((64, 64), bool), *masks_of(sample)], axis=0)
        assert np.array_equal(merged, np.any(wholes, axis=0)[at])


# What cannot be cut.


def test_polygons_that_miss_every_scene_name_both_extents(tmp_path):
    write_scene(tmp_path / "a.tif", picture(64, 64))
    far = [shapely.box(90_000, 90_000, 90_020, 90_020)]
    write_geojson(tmp_path / "far.geojson", far)
    near = [shapely.box(70, 70, 90, 90)]
    write_geojson(tmp_path / "near.geojson", near)
    words = ("--size", 64, "--out", "t")
    for name, begin in (("far", 86.43), ("near", 85.99)):
        result = run_script(
            "util/tile.py", "a.tif", f"{name}.geojson", *words, cwd=tmp_path
        )
        assert_refused(
            result, f"{name}.geojson: expected polygons on", "a.tif",
            f"the polygons span {begin}"[:22], "the image 85.99", "CRS84",
        )  # fmt: skip
        assert not (tmp_path / "t").exists()
    write_scene(tmp_path / "b.tif", picture(64, 64))
    result = run_script(
        "util/tile.py", "a.tif", "b.tif", "far.geojson", *words, cwd=tmp_path
    )
    assert_refused(result, "the polygons span", "the 2 images 85.99")
    (tmp_path / "a.txt").write_text("[[700, 0], [900, 0], [900, 100]]")
    result = run_script("util/tile.py", "a.tif", "a.txt", *words, cwd=tmp_path)
    assert_refused(
        result, "span 700, 0 to 900, 100 in pixels", "scene 0, 0 to 64, 64"
    )


def test_degrees_need_a_scene_with_a_place(tmp_path, script):
    write_png(tmp_path / "a.png", picture(64, 64))
    write_png(tmp_path / "b.png", picture(64, 64))
    write_geojson(tmp_path / "r.geojson", [shapely.box(0, 0, 40, 40)])
    words = ("r.geojson", "--size", 64, "--out", "t")
    with pytest.raises(DataError, match=r"a\.png: .* polygons in degrees"):
        script("tile", "a.png", *words)
    with pytest.raises(DataError, match=r"no image has a coordinate"):
        script("tile", "a.png", "b.png", *words)


def test_a_tile_larger_than_its_scene_is_refused(tmp_path, script, capsys):
    (tmp_path / "s").mkdir()
    write_png(tmp_path / "s" / "a.png", picture(64, 200))
    (tmp_path / "a.txt").write_text("[[2, 2], [9, 2], [9, 9]]")
    with pytest.raises(DataError, match=r"a\.png: .*100 x 100.* 200 x 64"):
        script("tile", "s", "a.txt", "--size", 100, "--out", "t")
    with pytest.raises(DataError, match="expected a scene with a place"):
        script("tile", "s", "a.txt", "--size", 32, "--resolution", 2)
    write_png(tmp_path / "s" / "b.png", picture(128, 128))
    (tmp_path / "b.txt").write_text("[[2, 2], [9, 2], [9, 9]]")
    (tmp_path / "said").mkdir()
    for name in "ab":
        (tmp_path / f"{name}.txt").rename(tmp_path / "said" / f"{name}.txt")
    with pytest.raises(SystemExit) as ended:
        script("tile", "s", "said", "--size", 100, "--out", "t")
    assert ended.value.code == 2
    assert [sample.name[0] for sample in find_samples(tmp_path / "t")] == ["b"]
    assert "refused: " in capsys.readouterr().err


def test_two_scenes_of_one_name_are_refused(tmp_path, script):
    for place in ("x", "y"):
        (tmp_path / place).mkdir()
        write_png(tmp_path / place / "a.png", picture(64, 64))
    (tmp_path / "a.txt").write_text("[]")
    with pytest.raises(DataError, match=r"y/a\.png: .* called a, x/a\.png"):
        script("tile", "x", "y", "a.txt", "--size", 64)


def test_nothing_stays_of_a_damaged_scene(tmp_path, script, capsys):
    for name in ("bad", "good"):
        path = write_scene(tmp_path / f"{name}.tif", picture(256, 64))
        (tmp_path / f"{name}.txt").write_text("[[2, 2], [9, 2], [9, 9]]")
    path = tmp_path / "bad.tif"
    path.write_bytes(path.read_bytes()[:30_000])
    (tmp_path / "said").mkdir()
    for name in ("bad", "good"):
        (tmp_path / f"{name}.txt").rename(tmp_path / "said" / f"{name}.txt")
    with pytest.raises(SystemExit) as ended:
        script("tile", "bad.tif", "good.tif", "said", "--size", 64, "--out",
               "t")  # fmt: skip
    assert ended.value.code == 2
    names = {sample.name[:4] for sample in find_samples(tmp_path / "t")}
    assert names == {"good"}
    assert "bad.tif: the file is truncated" in capsys.readouterr().err


def test_a_model_of_tiles_sees_larger_images_at_the_tiles_scale(
    tmp_path, script
):
    # As of land cover: nobody knows where the image lies.
    path = tmp_path / "a.png"
    write_png(path, picture(200, 150))
    square = [[10, 10], [60, 10], [60, 60], [10, 60], [10, 10]]
    (tmp_path / "a.txt").write_text(json.dumps(square))
    script("tile", path, tmp_path / "a.txt", "--size", 64, "--out", "tiles")
    samples = find_samples(tmp_path / "tiles")
    for size, shape in ((64, (200, 150)), (32, (100, 75))):
        data = dataset.load(
            samples, (size, size), ["building"], lambda items, *_: items
        )
        assert data.resolution is None
        contract = Contract(["building"], [size, size], scales=data.scales)
        whole = [Sample("a", path, None)]
        (source,) = find_sources(whole, contract, Settings())
        assert source.tiling.shape == shape
        assert not source.is_photo
