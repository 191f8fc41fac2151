"""Names from files: two spellings, escape codes, and names without end."""

import json
import struct
import unicodedata
import zlib

import numpy as np
import pytest

from conftest import assert_refused, run_script
from unet.annotations.images import find_images
from unet.annotations.pairing import pair
from unet.files.csv_tables import read_table
from unet.files.errors import DataError, printable
from unet.files.folders import Sample, class_names, find_samples
from unet.files.names import MOST_BYTES, check_results, is_class_name
from unet.imagery.png import write_png
from unet.network.contract import Contract
from unet.prediction.outputs import Outputs, Wanted
from unet.prediction.stream import find_sources
from unet.prediction.strip import Settings
from unet.terminal import cli

NFC = "Geb\u00e4ude"
NFD = unicodedata.normalize("NFD", NFC)
IMAGE = np.full((8, 8, 3), 90, np.uint8)
EVIL = "a\x1b[31mb\x07"
SHOWN = r"a\x1b[31mb\x07"
CONTRACT = Contract(["building"], [32, 32])


def polygons(path, name):
    shape = {"label": NFD, "points": [[1, 1], [1, 5], [5, 5]]}
    data = {"imagePath": f"{name}.png", "shapes": [shape], "version": "5",
            "imageWidth": 8, "imageHeight": 8}  # fmt: skip
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(NFC, NFD), (NFD, NFC), (NFC, NFC)]
)
def test_two_spellings_of_a_name_are_one(tmp_path, ours, theirs):
    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images" / f"{ours}.png", IMAGE)
    polygons(tmp_path / "a.json", theirs)
    (one,), problems = pair(tmp_path / "images", [tmp_path / "a.json"])
    assert problems == []
    assert one.name == NFC
    assert one.image.exists()
    assert one.annotation.instances[0].label == NFC
    assert list(find_images(tmp_path / "images")) == [NFC]


def test_one_name_in_two_spellings_is_annotated_twice(tmp_path):
    write_png(tmp_path / f"{NFC}.png", IMAGE)
    polygons(tmp_path / "a.json", NFC)
    polygons(tmp_path / "b.json", NFD)
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    _, (problem,) = pair(tmp_path, files)
    assert problem.kind == "annotated-twice"


def test_folders_classes_and_tables_are_compared_alike(tmp_path):
    mask = np.ones((8, 8), bool)
    for name, label in ((NFC, NFC), (f"{NFD} 2", NFD)):
        write_png(tmp_path / name / "images" / "a.png", IMAGE)
        write_png(tmp_path / name / "masks" / label / "m.png", mask)
        write_png(tmp_path / name / "masks" / "zaun" / "m.png", mask)
    (tmp_path / "classes.txt").write_text(f"zaun\n{NFD}\n", encoding="utf-8")
    samples = find_samples(tmp_path)
    assert [sample.name for sample in samples] == [NFC, f"{NFC} 2"]
    assert class_names(samples) == ["zaun", NFC]
    assert all(len(sample.masks[NFC]) == 1 for sample in samples)
    (tmp_path / "a.csv").write_text(f"name,group\n{NFD},1\n", encoding="utf-8")
    assert read_table(tmp_path / "a.csv", ["name"])["name"][0] == NFC


@pytest.mark.parametrize(
    "name",
    ["road", NFC, "\u9053", "a b", "\u0646\u200c\u0645", "x" * 100, "#f"],
)
def test_classes_may_be_called_in_any_language(name):
    assert is_class_name(name)


@pytest.mark.parametrize("name", [EVIL, "x" * 101, "a\\b", " a"])
def test_a_class_that_cannot_be_called_so_is_told(tmp_path, name):
    write_png(tmp_path / "one" / "images" / "one.png", IMAGE)
    write_png(tmp_path / "one" / "masks" / name / "m.png", IMAGE[..., 0])
    with pytest.raises(DataError, match="expected names of classes") as told:
        class_names(find_samples(tmp_path))
    assert str(told.value).isprintable()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe\x00", "a text file in UTF-8"),
        (b"../roof\n", "expected names of classes"),
        (b"a\x1b[2J\n", "expected names of classes"),
    ],
)
def test_an_odd_classes_txt_is_told(tmp_path, content, told):
    write_png(tmp_path / "one" / "images" / "one.png", IMAGE)
    write_png(tmp_path / "one" / "masks" / "roof" / "m.png", IMAGE[..., 0])
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"classes.txt: .*{told}"):
        class_names(find_samples(tmp_path))


def test_escape_codes_are_shown_and_not_obeyed(tmp_path):
    assert str(DataError(f"{EVIL}: bad")) == f"{SHOWN}: bad"
    assert cli.short_path(tmp_path / EVIL).endswith(SHOWN)
    assert cli.explain(OSError(2, "No", EVIL)) == f"{SHOWN}: No."
    assert printable("\u202e\x9b\udcff") == r"\u202e\x9b\udcff"
    assert printable("\u0646\u200c\u0645") == "\u0646\u200c\u0645"
    for word in (f"--{EVIL}", f"{EVIL}.png"):
        result = run_script("test/test.py", word, cwd=tmp_path)
        assert_refused(result, SHOWN)


def outputs(tmp_path, path, classes=("building",), **wanted):
    sources = find_sources(
        [Sample(path.stem, path, None)], CONTRACT, Settings()
    )
    return Outputs(tmp_path / "out", sources, list(classes), Wanted(**wanted))


def test_names_without_end_are_told_before_anything_is_predicted(tmp_path):
    longest = tmp_path / ("x" * (MOST_BYTES - len("_overlay.png")) + ".png")
    write_png(longest, IMAGE)
    assert len(outputs(tmp_path, longest).files()) == 3
    with pytest.raises(DataError, match=r"230 bytes, found 234.*shorter"):
        outputs(tmp_path, longest, probability="8bit").files()
    full = tmp_path / ("x" * 251 + ".png")
    full.write_bytes(longest.read_bytes())
    with pytest.raises(DataError, match=r"xxx.png: expected a result.*255"):
        outputs(tmp_path, full).files()


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/x.png", "."])
def test_results_lie_where_they_were_asked_for(tmp_path, name):
    check_results(tmp_path, [tmp_path / "a.png", tmp_path / "b" / "c.png"])
    with pytest.raises(DataError, match="found one beyond"):
        check_results(tmp_path, [tmp_path / name])


def empty_png(path, width, height):
    """A PNG of a few bytes that claims a size."""

    def chunk(name, data):
        body = name + data
        check = struct.pack(">I", zlib.crc32(body))
        return struct.pack(">I", len(data)) + body + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(9999)))
        + chunk(b"IEND", b"")
    )


def test_a_photo_has_the_bound_that_it_has_everywhere(tmp_path):
    path = tmp_path / "a.png"
    empty_png(path, 60_000, 60_000)
    with pytest.raises(DataError, match=r"a.png: .*found 60000 x 60000"):
        find_sources([Sample("a", path, None)], CONTRACT, Settings())


def test_a_raster_is_no_larger_than_its_file_can_hold(tmp_path):
    import rasterio

    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=10**6, height=10**6, count=1,
        dtype="uint8", sparse_ok=True, tiled=True, bigtiff="yes",
        blockxsize=4096, blockysize=4096,
    ):  # fmt: skip
        pass
    with pytest.raises(DataError, match=r"a.tif: .*found 1000000 x 1000000"):
        find_sources([Sample("a", path, None)], CONTRACT, Settings())


def test_a_contract_cannot_ask_for_a_picture_without_end(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((300, 300, 3), np.uint8))
    sample = Sample("a", tmp_path / "a.png", None)
    huge = Contract(["building"], [32, 32], scale=1e4)
    with pytest.raises(DataError, match=r"a.png: the network would see 30000"):
        find_sources([sample], huge, Settings())


def test_a_satellite_scene_may_be_enlarged_for_a_model_of_drone_images(
    tmp_path,
):
    empty_png(tmp_path / "a.png", 20_000, 20_000)
    sample = Sample("a", tmp_path / "a.png", None)
    drone = Contract(["building"], [32, 32], scale=3.3)
    (source,) = find_sources([sample], drone, Settings())
    assert source.tiling.shape == (66_000, 66_000)
