"""Scenes to files: GeoTIFF and PNG, whole or not at all."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from functools import lru_cache

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.features import rasterize
from rasterio.warp import transform_bounds

from conftest import (
    CODE,
    assert_refused,
    contents,
    killed_at,
    run_script,
    small_network,
)
from test_scenes import noise, write_scene
from unet.files.claims import claim
from unet.files.errors import DataError
from unet.files.folders import Sample
from unet.imagery.mask_values import read_mask
from unet.imagery.png import write_png
from unet.imagery.reading import read_image
from unet.network.contract import Contract, read_contract
from unet.network.model import load, save
from unet.prediction.outputs import Outputs, Wanted
from unet.prediction.run import Workplace, run
from unet.prediction.sinks import WholeImage
from unet.prediction.stream import find_sources
from unet.prediction.strip import Settings
from unet.terminal import cli

UTM = {
    "crs": "EPSG:32645",
    "transform": Affine(0.5, 0, 333000, 0, -0.5, 3058000),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with models of one class and of two, at half scale."""
    root = tmp_path_factory.mktemp("place")
    for name, classes in {"m": ["building"], "two": ["road", "roof"]}.items():
        model = small_network(classes)
        contract = Contract(classes, [32, 32], scale=0.5, resolution=[1.0, 1.0])
        save(model, root / f"{name}.keras", contract)
    return root


# Loading a model writes a file, which a test forbids.
loaded = lru_cache(load)


class Held(WholeImage):
    """Keeps the strips of an image, joined."""

    def __init__(self, source, kept):
        super().__init__(source, [], [lambda _, strip, __: kept.append(strip)])


class HoldingOutputs(Outputs):
    """The usual outputs, and the whole images where they are held."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.held = []

    def sinks(self, source):
        sinks = super().sinks(source)
        if any(isinstance(sink, WholeImage) for sink in sinks):
            sinks.append(Held(source, self.held))
        return sinks


def predict(
    place, path, out, model="m", scale=None, workplace=Workplace, **wanted
):
    """Predict a scene in this process: (``Source``, whole images)."""
    model = place / f"{model}.keras"
    contract, settings = read_contract(model), Settings(scale=scale)
    samples = [Sample(path.stem, path, None)]
    sources = find_sources(samples, contract, settings)
    outputs = HoldingOutputs(out, sources, contract.classes, Wanted(**wanted))
    with cli.PredictionBars(True, sources) as bars:
        run(
            loaded(model), sources, settings, outputs,
            workplace(out, model, settings), bars,
        )  # fmt: skip
    return sources[0], outputs.held


def read(path):
    with rasterio.open(path) as raster:
        return raster.read(1), raster.profile, raster.overviews(1)


def test_a_geotiff_gives_a_geotiff_at_its_place(place, tmp_path):
    image = noise(600, 700)
    image[image == 0] = 1
    image[:100, :80] = 0
    path = write_scene(tmp_path / "a.tif", image, nodata=0, **UTM)
    _, (one,) = predict(place, path, tmp_path / "out", probability="8bit")
    mask, profile, overviews = read(tmp_path / "out" / "a.tif")
    assert (mask[:100, :80] == 127).all()
    known = mask != 127
    assert known.sum() == 600 * 700 - 8000
    assert np.array_equal(mask[known] == 255, one.ids[known] == 1)
    assert profile["nodata"] == 127
    assert profile["crs"] == "EPSG:32645"
    assert profile["transform"] == UTM["transform"]
    assert profile["tiled"]
    assert profile["compress"] == "deflate"
    assert overviews == [2]
    levels, profile, _ = read(tmp_path / "out" / "a_probability.tif")
    assert profile["nodata"] == 255
    assert (levels[~known] == 255).all()
    expected = one.probability[..., 0] * 254
    assert np.abs(levels - expected)[known].max() <= 0.501
    with rasterio.open(tmp_path / "out" / "a_probability.tif") as raster:
        assert raster.scales[0] == pytest.approx(1 / 254)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.tif", "a_overlay.png", "a_probability.tif", "a_uncertain.png",
    ]  # fmt: skip


def test_several_classes_get_a_file_each(place, tmp_path):
    path = write_scene(tmp_path / "a.tif", noise(90, 70), **UTM)
    _, (one,) = predict(place, path, tmp_path, "two", probability="float")
    for number, name in enumerate(["road", "roof"], start=1):
        mask, *_ = read(tmp_path / f"a_{name}.tif")
        assert np.array_equal(mask == 255, one.ids == number)
        found, profile, _ = read(tmp_path / f"a_{name}_probability.tif")
        assert np.isnan(profile["nodata"])
        assert np.array_equal(found, one.probability[..., number])


def test_the_ground_decides_the_scale(place, tmp_path):
    image = noise(96, 96)
    path = write_scene(tmp_path / "utm.tif", image, **UTM)
    source, _ = predict(place, path, tmp_path / "out")
    # 0.5 m a pixel, the network's are 1 m, as in a CRS whose metres differ.
    assert source.tiling.shape == (48, 48)
    left, bottom, right, top = transform_bounds(
        UTM["crs"], "EPSG:4326", 333000, 3057952, 333048, 3058000
    )
    degrees = Affine((right - left) / 96, 0, left, 0, (bottom - top) / 96, top)
    path = write_scene(
        tmp_path / "degrees.tif", image, crs="EPSG:4326", transform=degrees
    )
    source, _ = predict(place, path, tmp_path / "out")
    found = np.array(source.tiling.shape)
    assert np.abs(found - 48).max() <= 1
    path = tmp_path / "plain.png"
    write_png(path, image[:40, :90])
    source, _ = predict(place, path, tmp_path / "out", scale=2)
    assert source.tiling.shape == (80, 180)


@pytest.mark.parametrize("kind", ["plain", "turned", "16 bit"])
def test_rasters_without_a_plain_place(place, tmp_path, kind):
    image = noise(150, 130)
    options = dict(UTM)
    if kind == "plain":
        options = {}
    elif kind == "turned":
        options["transform"] = UTM["transform"] * Affine.rotation(30)
    if kind == "16 bit":
        image = image.astype(np.uint16) * 200 + 999
    path = write_scene(tmp_path / "a.tif", image, **options)
    _, (one,) = predict(place, path, tmp_path / "out")
    assert np.array_equal(one.image, read_image(path))
    if kind == "plain":
        assert one.ids.shape == (150, 130)
        return  # test.py writes it as any photo
    mask, profile, _ = read(tmp_path / "out" / "a.tif")
    assert profile["transform"] == options["transform"]
    assert np.array_equal(mask == 255, one.ids == 1)


def test_large_photos_are_streamed_to_png(place, tmp_path, monkeypatch):
    monkeypatch.setattr("unet.prediction.stream._MOST_WHOLE", 1000)
    path = tmp_path / "in" / "a.png"
    write_png(path, noise(300, 90))
    _, nothing = predict(place, path, tmp_path / "out", probability="8bit")
    assert nothing == []
    monkeypatch.undo()
    _, (one,) = predict(place, path, tmp_path / "other")
    mask = read_mask(tmp_path / "out" / "a.png")
    assert np.array_equal(mask, one.ids == 1)
    levels, *_ = read(tmp_path / "out" / "a_probability.png")
    assert np.abs(levels - one.probability[..., 0] * 255).max() <= 0.501


def test_a_disk_that_fills_leaves_no_result_and_the_rest_is_resumed(
    place, tmp_path, capfd
):
    path = write_scene(tmp_path / "a.tif", noise(600, 300), **UTM)
    out = tmp_path / "out"
    loaded(place / "m.keras")
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    # The probabilities at half scale take 180,000 bytes, the GeoTIFF more.
    for most in (20_000, 190_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            with pytest.raises(OSError, match=r"large|whole|space"):
                predict(place, path, out, probability="float")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        (work,) = out.iterdir()
        assert work.name.startswith(".a.")
        assert not list(work.glob("*.tif"))
    assert "TIFF" not in capfd.readouterr().err.upper()
    predict(place, path, out, probability="float")
    predict(place, path, tmp_path / "other", probability="float")
    assert contents(out) == contents(tmp_path / "other")


def test_a_damaged_scene_leaves_nothing(place, tmp_path):
    path = write_scene(
        tmp_path / "a.tif", noise(900, 300), compress="deflate", tiled=True,
        blockxsize=256, blockysize=256, **UTM,
    )  # fmt: skip
    path.write_bytes(path.read_bytes()[:-200_000])
    with pytest.raises(DataError, match=r"a\.tif.*truncated"):
        predict(place, path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_prediction_goes_on_to_the_same_bytes(place, tmp_path):
    path = write_scene(tmp_path / "a.tif", noise(1000, 900), **UTM)
    words = [
        sys.executable, CODE / "test" / "test.py", path, "--model",
        place / "m.keras", "--probability", "8bit", "--scale", "1",
        "--overlap", "0.5",
    ]  # fmt: skip
    words = [str(word) for word in words]
    out = tmp_path / "out"
    process = subprocess.Popen([*words, "--out", str(out)])
    while process.poll() is None:
        kept = list(out.glob(".a.*/probabilities"))
        if kept and kept[0].stat().st_size > 200 * 900 * 4:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL
    left = sorted(one.name for one in out.iterdir())
    assert [name[:3] for name in left] == [".a.", ".un"]
    for place_of, speed in ((out, False), (tmp_path / "other", True)):
        done = subprocess.run(
            [*words, "--out", str(place_of)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert ("in an earlier call" in done.stdout) is not speed
        assert ("in the network" in done.stdout) is speed
    assert contents(out) == contents(tmp_path / "other")
    assert set(contents(out)) == {
        "a.tif", "a_probability.tif", "a_overlay.png", "a_uncertain.png",
        "contact_sheet.png",
    }  # fmt: skip


def test_killed_while_results_get_their_names_it_goes_on(place, tmp_path):
    """The same command is not refused for what it has itself named."""
    path = write_scene(tmp_path / "a.tif", noise(300, 280), **UTM)
    whole, out = tmp_path / "whole", tmp_path / "out"
    predict(place, path, whole)
    model, workplace = place / "m.keras", []

    class Dies(Workplace):
        def finish(self, sources):
            workplace.append((self, sources))
            raise KeyboardInterrupt

    files = [out / name for name in contents(whole)]
    with pytest.raises(KeyboardInterrupt), claim(out, files, False):
        predict(place, path, out, workplace=Dies)
    assert not any(file.exists() for file in files)
    ((dying, sources),) = workplace

    def name_one():
        with claim(out, files, False):
            Workplace.finish(dying, sources)

    assert killed_at(2, name_one)
    assert sum(file.exists() for file in files) == 1
    result = run_script(
        "test/test.py", path, "--model", model, "--out", out, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert contents(out).keys() - contents(whole).keys() == {
        "contact_sheet.png"
    }
    assert contents(out).items() > contents(whole).items()


def test_a_scene_with_a_truth_is_scored(place, tmp_path):
    image = noise(200, 180)
    truth = np.zeros((200, 180), bool)
    truth[20:90, 30:150] = True
    folder = tmp_path / "tree" / "a"
    (folder / "images").mkdir(parents=True)
    write_scene(folder / "images" / "a.tif", image, **UTM)
    write_png(folder / "masks" / "a_mask_1.png", truth)
    photo = tmp_path / "tree" / "b" / "images" / "b.png"
    write_png(photo, image[:50, :50])
    result = run_script(
        "test/test.py", "tree", "--model", place / "m.keras", "--out", "out",
        "--probability", "8bit", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "of the time in the network" in result.stdout
    mask = read(tmp_path / "out" / "a.tif")[0] == 255
    one = json.loads((tmp_path / "out" / "scores.json").read_text())
    expected = (mask & truth).sum() / (mask | truth).sum()
    assert one["classes"]["building"]["iou"] == pytest.approx(expected)
    assert read_mask(tmp_path / "out" / "b.png").shape == (50, 50)
    assert (tmp_path / "out" / "b_probability.png").exists()
    again = run_script(
        "test/test.py", "tree", "--model", place / "m.keras", "--out", "out",
        cwd=tmp_path,
    )  # fmt: skip
    assert_refused(again, "exists already", "--overwrite")


def test_a_scene_becomes_a_map_layer_and_is_scored_by_a_truth(place, tmp_path):
    path = write_scene(tmp_path / "a.tif", noise(300, 340), **UTM)
    truth = np.zeros((300, 340, 1), np.uint8)
    truth[40:200, 60:250] = 255
    write_scene(tmp_path / "truth.tif", truth, **UTM)
    result = run_script(
        "test/test.py", path, "--model", place / "m.keras", "--out", "out",
        "--layer", "geojson", "--tolerance", 0, "--truth", "truth.tif",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    mask = read(tmp_path / "out" / "a.tif")[0] == 255
    assert 0 < mask.mean() < 1
    layer = json.loads((tmp_path / "out" / "a.geojson").read_text())
    assert f"a.geojson: {len(layer['features'])} polygons" in result.stdout
    assert "32645" in layer["crs"]["properties"]["name"]
    drawn = rasterize(
        [(one["geometry"], 1) for one in layer["features"]],
        mask.shape,
        transform=UTM["transform"],
    )
    assert np.array_equal(drawn == 1, mask)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    one = scores["classes"]["building"]
    true = truth[..., 0] == 255
    assert one["iou"] == pytest.approx(
        (mask & true).sum() / (mask | true).sum()
    )
    assert f"{one['iou']:.4f}" in result.stdout
    for kind in ("overlay", "uncertain", "errors"):
        assert read_image(tmp_path / "out" / f"a_{kind}.png").any()


def test_what_is_for_scenes_is_refused_for_photos(place, tmp_path):
    write_png(tmp_path / "photos" / "a.png", noise(40, 40))
    write_scene(tmp_path / "photos" / "b.tif", noise(90, 90), **UTM)
    write_scene(tmp_path / "photos" / "c.tif", noise(90, 90), **UTM)
    common = ("--model", place / "m.keras", "--out", "out")
    result = run_script(
        "test/test.py", "photos", "--layer", "gpkg", *common, cwd=tmp_path
    )
    assert_refused(result, "a.png", "expected a scene for --layer")
    result = run_script(
        "test/test.py", "photos/b.tif", "photos/c.tif", "--truth", "t.png",
        *common, cwd=tmp_path,
    )  # fmt: skip
    assert_refused(result, "t.png", "one scene", "2 image(s)")
    result = run_script(
        "test/test.py", "photos/b.tif", "--truth", "absent.png", *common,
        cwd=tmp_path,
    )  # fmt: skip
    assert_refused(result, "absent.png")
    assert not (tmp_path / "out").exists()
