"""export.py: the same network elsewhere, or no file at all."""

import importlib.util
import json
import os
import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from conftest import CODE, assert_refused, contents, make_image, run_script
from unet.files.atomic import write_text
from unet.files.errors import DataError
from unet.files.folders import Sample
from unet.imagery.png import write_png
from unet.network.archive import MEMBER
from unet.network.backend import keras
from unet.network.contract import Contract, TrainingSettings, read_contract
from unet.network.exported import Exported
from unet.network.model import any_size, build_unet, joined, load, save
from unet.prediction.parity import Parity
from unet.prediction.stream import find_sources, predict
from unet.prediction.strip import Settings

PACKAGES = {
    "onnx": ("onnx", "tf2onnx", "onnxruntime"),
    "openvino": ("openvino",),
    "litert": ("ai_edge_litert",),
    "saved_model": (),
}
NAMES = {
    "onnx": ["m.onnx", "m_deepness.onnx"],
    "openvino": ["m.bin", "m.xml"],
    "litert": ["m.json", "m.tflite"],
    "saved_model": ["m_saved_model"],
}
MAIN = {
    "onnx": "m.onnx",
    "openvino": "m.xml",
    "litert": "m.tflite",
    "saved_model": "m_saved_model",
}
ONE = Contract(
    ["building"],
    size=[32, 48],
    resolution=[0.3, 0.3],
    threshold=0.5,
    training=TrainingSettings(depth=1),
    data={"images": 7, "digest": "abc"},
)
SEVERAL = Contract(
    ["building", "road"],
    size=[32, 32],
    training=TrainingSettings(depth=1, objects=True),
)


def need(name):
    for package in PACKAGES[name]:
        pytest.importorskip(package)


def make_model(path, contract):
    """A network that was never trained, and finds something in noise."""
    keras.utils.set_random_seed(4)
    seen = contract.preprocessing
    bands = 3 if seen.bands is None else len(seen.bands)
    model = build_unet(
        contract.size,
        contract.classes,
        filters=2,
        depth=contract.training.depth,
        activation="swish",
        batch_norm=True,
        padding="reflect" if contract.training.objects else "same",
        mean=[0.3, 0.4, 0.5, 0.6][:bands],
        variance=[0.04, 0.05, 0.06, 0.07][:bands],
        objects=contract.training.objects,
        bands=bands,
        limits=seen.limits,
    )
    save(model, path, contract)
    return path


def run_export(*words):
    """Run the script in this process: TensorFlow is slow to import."""
    spec = importlib.util.spec_from_file_location(
        "export_script", CODE / "test" / "export.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["export.py", *map(str, words), "--quiet"])
        module.main(module.read_arguments())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with images, and models of one and of several classes."""
    root = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(3)
    for number in range(3):
        write_png(root / "images" / f"{number}.png", make_image(rng, 60)[0])
    make_model(root / "m.keras", ONE)
    make_model(root / "several.keras", SEVERAL)
    return root


@pytest.fixture(scope="module")
def exported(place):
    """A function that exports once: (name of the format, model)."""
    made = {}

    def export(name, model="m"):
        need(name)
        key = name, model
        if key not in made:
            out = place / f"{model}_{name}"
            out.mkdir()
            made[key] = out / MAIN[name]
            run_export(
                *(place / f"{model}.keras", "--format", name),
                *("--out", made[key], "--images", place / "images"),
            )
        return made[key]

    return export


def noise(count, height, width):
    rng = np.random.default_rng(count)
    return rng.integers(0, 256, (count, height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_file_says_the_same_of_images_of_any_number_and_size(
    name, place, exported
):
    path = exported(name)
    assert sorted(p.name for p in path.parent.iterdir()) == NAMES[name]
    network, other = any_size(load(place / "m.keras")), Exported(path)
    for shape in ((1, 32, 48), (5, 32, 48), (2, 64, 36), (1, 4, 4)):
        expected = network.predict_on_batch(noise(*shape))
        found = other.predict_on_batch(noise(*shape))
        assert found.dtype == np.float32
        assert np.ptp(expected) > 0
        assert np.abs(found - expected).max() < 1e-4
    assert other.contract == read_contract(place / "m.keras")
    assert other.input_shape == (None, 32, 48, 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", other.saved_on)
    assert not other.seams


@pytest.mark.parametrize("name", ["onnx", "litert", "openvino"])
def test_several_classes_and_borders_are_exported(name, place, exported):
    other = Exported(exported(name, "several"))
    network = any_size(joined(load(place / "several.keras")))
    expected = network.predict_on_batch(noise(3, 32, 64))
    assert expected.shape[-1] == 5  # two classes, background, seams, borders
    found = other.predict_on_batch(noise(3, 32, 64))
    assert np.abs(found - expected).max() < 1e-4
    assert other.seams
    assert other.contract == read_contract(place / "several.keras")


@pytest.mark.parametrize("model", ["m", "several"])
def test_photos_and_scenes_are_predicted_alike(
    model, place, exported, tmp_path
):
    other = Exported(exported("onnx", model))
    network = load(place / f"{model}.keras")
    rng = np.random.default_rng(5)
    samples = []
    for side in (32, 90):
        path = tmp_path / f"{side}.png"
        write_png(path, make_image(rng, side)[0])
        samples.append(Sample(path.stem, path, None))
    settings = Settings(flips=True, scale=1.0)
    contract = replace(other.contract, scale=1.0)
    sources = find_sources(samples, contract, settings)
    assert [source.is_photo for source in sources] == [False, True]
    answers = [
        [strip for _, strip in predict(each, sources, settings)]
        for each in (network, other)
    ]
    assert len(answers[0]) == len(answers[1]) >= 2
    for expected, found in zip(*answers, strict=True):
        assert np.allclose(found.probability, expected.probability, atol=1e-4)
        assert (found.edge is None) == (expected.edge is None)
        assert (found.edge is None) == (model == "m")
        if model == "several":
            assert np.allclose(found.edge, expected.edge, atol=1e-4)


def test_a_run_predicts_with_an_exported_file(place, exported, tmp_path):
    words = ("test/test.py", place / "images", "--model", exported("onnx"))
    # It runs where Keras does not.
    write_text(tmp_path / "no" / "keras.py", "raise ImportError('no Keras')")
    paths = [str(tmp_path / "no"), os.environ.get("PYTHONPATH", "")]
    env = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    result = run_script(*words, "--out", "masks", cwd=tmp_path, env=env)
    assert result.returncode == 0, result.stderr
    assert "m.onnx (building), trained on 7 images, 20" in result.stdout
    assert len(list((tmp_path / "masks").glob("?.png"))) == 3
    result = run_script(*words, "--adapt", "0.5", cwd=tmp_path)
    assert_refused(result, "--adapt", "expected a .keras model", "m.onnx")


def read_as_deepness(path):
    """What the QGIS plugin reads of a file: (session, values by name)."""
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    entries = session.get_modelmeta().custom_metadata_map
    values = {
        name: json.loads(entries[name])
        for name in ("model_type", "class_names", "tiles_size", "tile_size",
                     "tiles_overlap", "standardization_mean", "seg_thresh",
                     "standardization_std", "seg_small_segment", "resolution")
        if name in entries
    }  # fmt: skip
    return session, values


def predicted_as_deepness(session, values, tiles):
    """Ids from 0, as the plugin makes them of uint8 tiles, N x H x W x 3."""
    seen = np.float32(tiles * 1.0 / 255.0)
    seen = seen - np.float32(values["standardization_mean"])
    seen = seen / np.float32(values["standardization_std"])
    (image,) = session.get_inputs()
    (answer,) = session.run(None, {image.name: seen.transpose(0, 3, 1, 2)})
    answer[answer < values["seg_thresh"]] = 0
    if answer.shape[1] == 1:
        return (answer[:, 0] != 0).astype(int)
    return answer.argmax(axis=1)


@pytest.mark.parametrize(
    ("model", "names"),
    [("m", ["background", "building"]),
     ("several", ["background", "building", "road"])],
)  # fmt: skip
def test_deepness_in_qgis_makes_our_mask(model, names, place, exported):
    path = exported("onnx", model).with_name("m_deepness.onnx")
    session, values = read_as_deepness(path)
    assert values["model_type"] == "Segmentor"
    assert list(values["class_names"].values()) == names
    assert list(values["class_names"]) == [str(k) for k in range(len(names))]
    assert values["tile_size"] == values["tiles_size"] == 512
    assert values["tiles_overlap"] == 13
    assert values["seg_small_segment"] == 0
    assert values.get("resolution") == (30 if model == "m" else None)
    (image,), (answer,) = session.get_inputs(), session.get_outputs()
    # It wants sides as numbers, and a batch that is none.
    assert image.shape == ["batch", 3, 512, 512]
    channels = 1 if model == "m" else 3
    assert answer.shape == ["batch", channels, 512, 512]
    tiles = noise(2, 512, 512)
    found = predicted_as_deepness(session, values, tiles)
    network = any_size(joined(load(place / f"{model}.keras")))
    probability = network.predict_on_batch(tiles)[..., :channels]
    if channels == 1:
        expected, margin = probability[..., 0] >= 0.5, probability[..., 0] - 0.5
    else:
        ordered = np.sort(probability)
        expected = probability.argmax(axis=-1)
        margin = ordered[..., -1] - ordered[..., -2]
    assert 0 < (expected > 0).mean() < 1
    assert (found == expected)[np.abs(margin) > 1e-3].all()


def test_deepness_runs_an_old_onnxruntime(exported):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported("onnx").with_name("m_deepness.onnx"))
    # It brings onnxruntime 1.17 at most.
    assert model.ir_version <= 9
    assert max(entry.version for entry in model.opset_import) <= 20


def test_test_py_asks_for_the_file_that_takes_any_size(exported):
    path = exported("onnx").with_name("m_deepness.onnx")
    with pytest.raises(DataError, match="512 x 512 pixels alone"):
        Exported(path)


def test_contrast_that_qgis_does_not_make_is_not_promised(place, tmp_path):
    need("onnx")
    contract = replace(
        ONE, preprocessing=replace(ONE.preprocessing, contrast="stretch")
    )
    model = make_model(tmp_path / "m.keras", contract)
    run_export(model, "--images", place / "images")
    assert sorted(p.name for p in tmp_path.glob("*.onnx")) == ["m.onnx"]


def test_four_bands_of_16_bits_are_exported_but_not_for_qgis(tmp_path):
    need("onnx")
    bands = [{"number": k, "description": None} for k in (1, 2, 3, 4)]
    seen = replace(
        ONE.preprocessing, bands=bands, limits=[[100, 4000]] * len(bands)
    )
    path = make_model(tmp_path / "m.keras", replace(ONE, preprocessing=seen))
    values = np.random.default_rng(6).integers(0, 5000, (4, 32, 48), np.uint16)
    profile = {"driver": "GTiff", "count": 4, "height": 32, "width": 48}
    with rasterio.open(
        tmp_path / "image.tif", "w", dtype="uint16", **profile
    ) as raster:
        raster.write(values)
    run_export(path, "--images", tmp_path / "image.tif")
    assert sorted(p.name for p in tmp_path.glob("*.onnx")) == ["m.onnx"]
    batch = np.moveaxis(values, 0, 2)[None]
    expected = load(path).predict_on_batch(batch)
    found = Exported(tmp_path / "m.onnx").predict_on_batch(batch)
    assert np.ptp(expected) > 0.01
    assert np.abs(found - expected).max() < 1e-4


def test_what_says_something_else_gets_no_name(
    place, tmp_path, monkeypatch, capsys
):
    def off(self, batch):
        return self._run(np.asarray(batch, np.float32)) + 2e-4

    monkeypatch.setattr(Exported, "predict_on_batch", off)
    out = tmp_path / "new"
    with pytest.raises(SystemExit) as end:
        run_export(
            *(place / "m.keras", "--format", "saved_model"),
            *("--out", out / "m", "--images", place / "images"),
        )
    assert end.value.code == 1
    assert "not written" in capsys.readouterr().out
    assert not out.exists()


def test_an_older_export_is_replaced_when_asked_for(place, tmp_path, exported):
    path = exported("saved_model")
    before = contents(path)
    words = (
        *(place / "m.keras", "--format", "saved_model", "--out", path),
        *("--images", place / "images" / "0.png"),
    )
    with pytest.raises(DataError, match="exists already"):
        run_export(*words)
    assert contents(path) == before
    run_export(*words, "--overwrite")
    assert contents(path).keys() == before.keys()


@pytest.mark.parametrize(
    ("before", "after", "channels", "differing", "holds"),
    [
        ([[0.2], [0.8]], [[0.20009], [0.8]], 1, 0, True),
        ([[0.2], [0.8]], [[0.2002], [0.8]], 1, 0, False),
        ([[0.50004], [0.8]], [[0.49999], [0.8]], 1, 1, True),
        ([[0.2], [0.8]], [[np.nan], [0.8]], 1, 0, False),
        ([[0.5, 0.49996, 0]], [[0.49996, 0.5, 0]], 3, 1, True),
        # What follows the probabilities has no class, but a difference.
        ([[0.2, 0.1, 0.9]], [[0.2, 0.1, 0.8]], 1, 0, False),
    ],
)
def test_parity(before, after, channels, differing, holds):
    parity = Parity()
    shape = 1, 1, len(before), -1
    arrays = [np.float32(a).reshape(shape) for a in (before, after)]
    parity.add(*arrays, 0.5, channels)
    assert (parity.differing, parity.holds) == (differing, holds)
    assert parity.pixels == len(before)


def test_pixels_far_from_the_threshold_break_parity():
    parity = Parity(far=1)
    assert not parity.holds


@pytest.mark.parametrize(
    ("name", "package"),
    [("onnx", "tf2onnx"), ("openvino", "openvino"),
     ("litert", "ai_edge_litert")],
)  # fmt: skip
def test_a_missing_package_is_said_with_the_command(
    name, package, place, monkeypatch
):
    for each in PACKAGES[name]:
        if each != package:
            need(name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError) as error:
        run_export(place / "m.keras", "--format", name)
    text = str(error.value)
    assert f"the package {package}, found none" in text
    assert "pip install -r code/test/requirements-export.txt" in text


def test_another_backend_than_tensorflow_is_refused(
    place, tmp_path, monkeypatch
):
    shutil.copy(place / "m.keras", tmp_path)
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(DataError, match="tensorflow, found jax"):
        run_export(tmp_path / "m.keras", "--format", "saved_model")
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


def test_a_runtime_that_is_missing_is_said_with_the_command(
    exported, monkeypatch
):
    path = exported("onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DataError, match=r"onnxruntime.*pip install -r"):
        Exported(path)


def test_a_model_of_another_format_is_refused(place, tmp_path):
    import zipfile

    path = tmp_path / "old.keras"
    with (
        zipfile.ZipFile(place / "m.keras") as source,
        zipfile.ZipFile(path, "w") as target,
    ):
        for name in source.namelist():
            data = source.read(name)
            if name == MEMBER:
                data = json.dumps({**json.loads(data), "format": 0})
            target.writestr(name, data)
    with pytest.raises(DataError, match="expected format 1, found 0"):
        run_export(path)
    assert [p.name for p in tmp_path.iterdir()] == ["old.keras"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 0}, "expected format 1, found 0"),
        ({"classes": ["a", "b"]}, "expected a model that code/test/export.py"),
        ({"threshold": 7}, "7 for threshold"),
        ({"size": None}, "a contract without a size"),
        (None, "another or a damaged file"),
    ],
)
def test_an_exported_file_is_believed_as_little(
    change, message, exported, tmp_path
):
    source = exported("litert")
    path = tmp_path / "m.tflite"
    path.write_bytes(source.read_bytes()[: None if change else 5000])
    values = json.loads(source.with_suffix(".json").read_text())
    values.update(change or {})
    path.with_suffix(".json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=message):
        Exported(path)


def test_a_name_with_another_ending_is_refused(place, tmp_path):
    need("onnx")
    with pytest.raises(DataError, match=r"ends in \.onnx.*found \.tflite"):
        run_export(place / "m.keras", "--out", tmp_path / "m.tflite")
