"""Damaged files of every kind are read, or refused in one line."""

import json
import struct
import sys
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from conftest import ROOT
from unet.annotations.placing import in_pixels
from unet.annotations.reading import read_file
from unet.files.errors import DataError
from unet.imagery.georeference import (
    Georeference,
    read_georeference,
    sidecar,
    write_georeference,
)
from unet.imagery.mask_values import read_mask
from unet.imagery.png import write_png
from unet.imagery.rasters import Scene
from unet.imagery.reading import read_image
from unet.imagery.stored import stored_as
from unet.prediction.truth import open_truth

sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
from holding import mutation, readers, trials

UTM = rasterio.CRS.from_epsg(32645)
NORTH_UP = Affine(2, 0, 5e5, 0, -2, 3e6)
NOISE = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)


@pytest.mark.filterwarnings("ignore")  # libraries warn of damage
def test_of_many_none_does_more_than_be_refused(tmp_path):
    known = readers.kinds(tmp_path / "files", keras=False)
    trials.check_undamaged(known, tmp_path / "files")
    results = [
        trials.attempt(known, tmp_path / "files", number, seed=5)
        for number in range(300)
    ]
    assert [r for r in results if r.outcome == trials.BROKE] == []
    counts = Counter(result.outcome for result in results)
    # Not all are so damaged that the first look at them is enough.
    assert counts[trials.ACCEPTED] > 30
    assert counts[trials.REFUSED] > 150


def refused(read, path):
    with pytest.raises(DataError, match=path.name) as error:
        read(path)
    assert len(str(error.value).splitlines()) == 1


def test_a_sidecar_in_no_encoding_says_nothing(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, NOISE)
    write_georeference(path, Georeference(UTM, NORTH_UP))
    assert read_georeference(path).crs == UTM
    content = sidecar(path).read_bytes()
    sidecar(path).write_bytes(content.replace(b"UTM", b"\xd5\xff!"))
    assert read_georeference(path) is None
    assert read_image(path).shape == (40, 40, 3)


def test_a_sidecar_of_no_known_system_says_nothing(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, NOISE)
    write_georeference(path, Georeference(UTM, NORTH_UP))
    text = sidecar(path).read_text()
    start, end = text.index("<SRS>"), text.index("</SRS>")
    sidecar(path).write_text(text[:start] + "<SRS>PROJCS[7" + text[end:])
    assert read_georeference(path) is None


@pytest.mark.parametrize(
    "transform",
    [
        Affine(1e-303, 0, 5e5, 0, -1e-309, 3e6),
        Affine(float("nan"), 0, 5e5, 0, -2, 3e6),
        Affine(2, 0, 5e5, 2, 0, 3e6),
    ],
)
def test_pixels_without_a_size_on_the_ground(tmp_path, transform):
    path, polygons = tmp_path / "a.tif", tmp_path / "a.geojson"
    place = {"crs": UTM, "transform": transform}
    shape = {"width": 40, "height": 40, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **place, **shape) as file:
        file.write(np.moveaxis(NOISE, 2, 0))
    assert read_georeference(path) is None
    with Scene(path) as scene:
        assert scene.place is None
    ring = [[5e5, 3e6], [500040, 3e6], [5e5, 2999960], [5e5, 3e6]]
    shapes = readers.collection(readers.feature([ring]), crs="EPSG:32645")
    polygons.write_text(json.dumps(shapes))
    (annotation,) = read_file(polygons).values()
    refused(lambda image: in_pixels(annotation, image), path)


def test_a_tiff_of_one_strip_that_claims_millions_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(NOISE).save(path)
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<HHI", 257, 4, 1)[:4])
    content[at : at + 12] = struct.pack("<HHII", 257, 4, 1, 40 + 2**24)
    path.write_bytes(content)
    refused(read_image, path)


def test_a_place_beyond_its_projection_has_no_resolution():
    place = Georeference(UTM, Affine(2, 0, 1e30, 0, -2, 1e30))
    assert place.resolution((40, 40)) is None


def test_damaged_avif_is_refused(tmp_path):
    path = tmp_path / "a.avif"
    Image.fromarray(NOISE).save(path)
    whole = path.read_bytes()
    for at in range(100, 200, 8):  # its boxes
        path.write_bytes(whole[:at] + b"\xff" * 8 + whole[at + 8 :])
        stored_as(path)
        with suppress(DataError):
            read_image(path)


def test_a_png_without_pixels_is_refused(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, NOISE)
    content = path.read_bytes().replace(b"IDAT", b"iDAT")
    path.write_bytes(mutation.with_sums(content))
    for read in (read_image, read_mask):
        refused(read, path)


def test_a_tiff_that_only_gdal_reads_is_read(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(NOISE).save(path)
    content = bytearray(path.read_bytes())
    tag = (273).to_bytes(2, "little")  # StripOffsets
    at = content.index(tag + (4).to_bytes(2, "little"))
    content[at + 2] = 11  # float: Pillow seeks to no whole number
    path.write_bytes(content)
    assert read_image(path).shape == (40, 40, 3)


def test_a_palette_of_16_bits_has_a_colour_for_every_value(tmp_path):
    path = tmp_path / "a.tif"
    values = np.array([[0, 5], [300, 65535]], np.uint16)
    with rasterio.open(
        path, "w", driver="GTiff", width=2, height=2, count=1, dtype="uint16",
        crs=UTM, transform=NORTH_UP, photometric="palette",
    ) as file:  # fmt: skip
        file.write_colormap(1, {5: (255, 0, 0), 300: (0, 255, 0)})
        file.write(values, 1)
    with Scene(path) as scene:
        colours = scene.read(0, 2)[0]
    assert colours.tolist() == [
        [[0, 0, 0], [255, 0, 0]], [[0, 255, 0], [0, 0, 0]],
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_damaged_truth_is_refused_by_its_name(tmp_path):
    path, scene = tmp_path / "truth.tif", tmp_path / "scene.tif"
    for made in (path, scene):
        with rasterio.open(
            made, "w", driver="GTiff", width=40, height=40, count=1,
            dtype="uint8", crs=UTM, transform=NORTH_UP,
        ) as file:  # fmt: skip
            file.write(NOISE[None, ..., 0] // 128)
    path.write_bytes(path.read_bytes()[:-200])
    refused(lambda truth: open_truth(truth, scene, ["roof"]), path)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_a_mask_of_labelme_that_lies_nowhere_is_refused(tmp_path, number):
    path = tmp_path / "a.json"
    shape = readers.DOCUMENTS["labelme"]["shapes"][-1]
    assert shape["shape_type"] == "mask"
    path.write_text(
        '{"shapes": [{"label": "a", "shape_type": "mask", "points": '
        f'[[{number}, 1], [3, 3]], "mask": "{shape["mask"]}"}}]}}'
    )
    refused(read_file, path)
