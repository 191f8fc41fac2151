"""Networks of other bands than three, and what a training makes of them."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import assert_refused, run_script
from test_bands import make_band_tree, noise, write_bands
from unet.files.errors import DataError
from unet.files.folders import Sample, find_samples
from unet.geometry.masks import to_ids
from unet.imagery.bands import Bands
from unet.imagery.png import write_png
from unet.imagery.rasters import Scene
from unet.imagery.reading import ALL
from unet.network import encoders, losses
from unet.network.archive import MEMBER
from unet.network.backend import keras
from unet.network.contract import (
    Contract,
    Preprocessing,
    TrainingSettings,
    read_contract,
)
from unet.network.model import (
    any_size,
    build_unet,
    for_training,
    save,
)
from unet.prediction import adaptation
from unet.prediction.photos import probabilities_of
from unet.prediction.scenes import strips
from unet.prediction.stream import find_sources, predict
from unet.prediction.strip import Settings, bands_of
from unet.terminal import cli, training_options
from unet.training import dataset, fitting
from unet.training.augmentation import Augmentation
from unet.training.batches import Batches
from unet.training.image_bands import seen_bands

layers = keras.layers
LIMITS = [[500.0, 3000.0], [0.0, 900.0], [100.0, 200.0], [7.0, 60000.0]]
RNG = np.random.default_rng(5)


def small(**options):
    keras.utils.set_random_seed(2)
    options = {"size": (32, 32), "filters": 2, "depth": 2, **options}
    return build_unet(options.pop("size"), **options)


# Networks --------------------------------------------------------------------


def test_values_of_16_bits_are_scaled_inside_the_network(tmp_path):
    plain = small(bands=4, mean=[0.4] * 4, variance=[0.1] * 4)
    deep = small(bands=4, mean=[0.4] * 4, variance=[0.1] * 4, limits=LIMITS)
    deep.set_weights(plain.get_weights())
    values = noise(4, "uint16", (32, 32), most=4000)[None]
    seen = Bands.stretched(values, LIMITS) * 255
    expected = plain.predict_on_batch(seen)
    found = deep.predict_on_batch(values)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        any_size(deep).predict_on_batch(values), expected, atol=1e-5
    )
    half = for_training(deep, mixed_precision=True)
    kept = {layer.name: layer.compute_dtype for layer in half.layers}
    assert kept["stretch"] == kept["cut"] == "float32"
    save(deep, tmp_path / "m.keras", contract_of(LIMITS))
    opened = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(opened.predict_on_batch(values), found)
    assert read_contract(tmp_path / "m.keras").preprocessing.limits == LIMITS


def contract_of(limits=None, count=4, size=(32, 32), **more):
    bands = [{"number": k + 1, "description": None} for k in range(count)]
    training = TrainingSettings(depth=2)
    seen = Preprocessing(bands=bands, limits=limits)
    return Contract(["building"], list(size), seen, training=training, **more)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bands": None}, "a contract of 3 band"),
        ({"limits": LIMITS[:3]}, "as many as bands, 4"),
        ({"mean": [0.5] * 3}, "as many as bands, 4"),
        ({"limits": [[5, 5]] * 4}, "the second one larger"),
        ({"bands": [{"number": 0, "description": None}] * 4}, "number"),
        ({"bands": []}, "1 to 16"),
    ],
)
def test_a_contract_of_other_bands_is_told(tmp_path, change, told):
    path = tmp_path / "m.keras"
    save(small(bands=4), path, contract_of())
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    values = json.loads(members[MEMBER])
    values["preprocessing"].update(change)
    members[MEMBER] = json.dumps(values)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(DataError, match=told):
        read_contract(path)


def features(bands, name=encoders.LITE0, weights=None):
    model = build_unet(
        (64, 64), filters=2, encoder=name, encoder_weights=weights, bands=bands
    )
    return keras.Model(model.inputs, model.get_layer(encoders.END).output)


def kernel_of(model):
    """The first convolution's kernel, without our own block's."""
    kernels = [x.kernel for x in model.layers if isinstance(x, layers.Conv2D)]
    return np.array(kernels[0])


def test_an_encoder_keeps_its_three_bands_and_begins_others_with_their_mean():
    colours, five, grey = features(3), features(5), features(1)
    kernel = kernel_of(colours)
    assert np.array_equal(kernel_of(five)[:, :, :3], kernel)
    mean = np.broadcast_to(kernel.mean(axis=2, keepdims=True), (3, 3, 2, 32))
    np.testing.assert_allclose(kernel_of(five)[:, :, 3:], mean, atol=1e-7)
    photo = noise(1, size=(64, 64))[None].astype(np.float32)
    expected = colours.predict_on_batch(np.repeat(photo, 3, axis=-1))
    found = grey.predict_on_batch(photo)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    # What the lines make 0 adds nothing.
    black = np.full((1, 64, 64, 2), 127, np.float32)
    rgb = noise(3, size=(64, 64))[None].astype(np.float32)
    found = five.predict_on_batch(np.concatenate([rgb, black], axis=-1))
    expected = colours.predict_on_batch(rgb)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_blue_and_red_of_an_application_stay_what_they_are(tmp_path):
    network = keras.applications.VGG16(include_top=False, weights=None)
    path = tmp_path / "vgg.weights.h5"
    network.save_weights(path)
    kernel = kernel_of(features(4, "VGG16", str(path)))
    # VGG16 takes blue, green and red.
    first = network.get_layer("block1_conv1")
    expected = first.get_weights()[0][:, :, ::-1]
    np.testing.assert_array_equal(kernel[:, :, :3], expected)
    np.testing.assert_allclose(
        kernel[:, :, 3], expected.mean(axis=2), atol=1e-7
    )


# Prediction ------------------------------------------------------------------


@pytest.fixture(scope="module")
def deep_model():
    """A network of bands 5, 1 and 3 and 2 of 16 bits, and its contract."""
    numbers = [(5, "height"), (1, None), (3, None), (2, None)]
    bands = [{"number": n, "description": d} for n, d in numbers]
    contract = contract_of(LIMITS, scale=1.0, scales=[1.0, 1.0])
    seen = Preprocessing(bands=bands, limits=LIMITS)
    return small(bands=4, limits=LIMITS), replace(contract, preprocessing=seen)


def settings_for(contract, **more):
    return Settings(bands=bands_of(contract.preprocessing), **more)


@pytest.mark.parametrize("flips", [False, True])
def test_scenes_and_photos_are_seen_by_their_bands(tmp_path, deep_model, flips):
    model, contract = deep_model
    settings = settings_for(contract, flips=flips)
    image = noise(5, "uint16", (70, 80), most=4000)
    place = {"crs": "EPSG:32645", "transform": from_origin(3e5, 3e6, 2, 2)}
    scene = write_bands(tmp_path / "scene.tif", image, **place)
    photo = write_bands(tmp_path / "photo.tif", image[:32, :32])
    few = write_bands(tmp_path / "few.tif", image[..., :4])
    samples = [Sample(p.stem, p, None) for p in (scene, photo, few)]
    sources = find_sources(samples, contract, settings)
    found = {source.name: strip for source, strip in predict(
        model, sources, settings)}  # fmt: skip
    match = r"expected band 5 \(height\).*found 4 bands"
    with pytest.raises(DataError, match=match):
        raise found["few"]
    seen = image[..., [4, 0, 2, 1]]
    shown = settings.bands.picture(seen)
    assert np.array_equal(found["scene"].image, shown)
    assert np.array_equal(found["photo"].image, shown[:32, :32])
    whole = Scene.of_array(seen)
    tiling = next(s.tiling for s in sources if s.name == "scene")
    network = any_size(model)
    (strip,) = strips(network, whole, tiling, settings)
    np.testing.assert_allclose(found["scene"].probability, strip.probability)
    alone = probabilities_of(model, seen[None, :32, :32], flips)
    np.testing.assert_allclose(found["photo"].probability, alone[0], atol=1e-6)


def test_a_model_of_bands_is_adapted_to_a_place(tmp_path):
    model = small(bands=4, batch_norm=True, limits=LIMITS)
    contract = contract_of(LIMITS, scale=1.0, scales=[1.0, 1.0])
    samples = []
    for k in range(16):
        image = noise(4, "uint16", (32, 32), most=4000)
        path = write_bands(tmp_path / f"p{k}.tif", image)
        samples.append(Sample(path.stem, path, None))
    settings = settings_for(contract)
    views = adaptation.views(samples, contract, settings)
    assert (views.shape, views.dtype) == ((16, 32, 32, 4), np.uint16)
    before = model.predict_on_batch(views)
    adaptation.adapt(model, views, 0.5)
    assert not np.allclose(before, model.predict_on_batch(views))
    masks = adaptation.masks_of(model, views[:2], settings)
    assert [mask.shape for mask in masks] == [(32, 32)] * 2


# Training --------------------------------------------------------------------


def scene_of_roofs_and_yards(dtype):
    """Image, mask: roofs and yards differ in the fourth band alone."""
    scale = 12 if dtype == "uint16" else 1
    image = RNG.integers(60, 90, (64, 64, 4))
    mask = np.zeros((64, 64), bool)
    for row in (0, 32):
        for column in (0, 32):
            height, width = RNG.integers(14, 24, 2)
            top, left = row + RNG.integers(2, 8), column + RNG.integers(2, 8)
            box = np.s_[top : top + height, left : left + width]
            image[box] = RNG.integers(150, 180, (height, width, 4))
            is_roof = RNG.random() < 0.5
            image[(*box, 3)] += 60 if is_roof else -60
            mask[box] = is_roof
    return (image * scale).astype(dtype), mask


def write_scenes(root, count, dtype="uint16"):
    for k in range(count):
        image, mask = scene_of_roofs_and_yards(dtype)
        make_band_tree(root, [image])
        (root / "a0").rename(root / f"s{k}")
        path = root / f"s{k}" / "masks" / "a0_mask_1.png"

        write_png(path, mask)
    return root


def learned_iou(root, numbers, epochs=3):
    """IoU on the last six images after a training on the others."""
    samples = find_samples(root)
    data = dataset.load(
        samples, (64, 64), ["building"], lambda i, *_: i, bands=numbers
    )
    bands, rows = seen_bands(data), np.arange(len(samples))
    fit, test = rows[:-6], rows[-6:]
    mean, variance = fitting.channel_statistics(data.X, fit, bands.limits)
    keras.utils.set_random_seed(1)
    model = build_unet(
        (64, 64), filters=6, depth=2, dropout_kind="none", mean=mean,
        variance=variance, bands=bands.count, limits=bands.limits,
    )  # fmt: skip
    model.compile(fitting.optimizer(0.005, False), losses.loss("bce", ["b"]))
    augment = Augmentation("flips", bands)
    batches = Batches(data.X, data.Y, fit, 4, 1, augment)
    model.fit(batches, epochs=epochs, verbose=0, shuffle=False)
    predicted = to_ids(model.predict_on_batch(data.X[test]), 0.5) == 1
    true = data.Y[test] == 1
    return (predicted & true).sum() / (predicted | true).sum()


def test_the_fourth_band_tells_roofs_from_yards(tmp_path):
    root = write_scenes(tmp_path / "scenes", 26)
    assert learned_iou(root, ALL) > 0.9
    assert learned_iou(root, (1, 2, 3)) < 0.6


def test_bands_that_cannot_be_learned_from_end_in_one_line(tmp_path):
    image = noise(4, size=(32, 32))
    image[..., 1] = 5
    make_band_tree(tmp_path / "data" / "train", [image] * 3)
    train = ["train/train_unet.py", "data", "--size", 32, "--out", "run"]
    for bands, told in (
        ("all", "band 2: expected different values"),
        ("9", "expected band 9"),
        ("1,x", "expected 1 to 16 numbers"),
    ):
        result = run_script(*train, "--bands", bands, cwd=tmp_path)
        assert_refused(result, told)
    assert not (tmp_path / "run").exists()


def test_a_model_brings_its_bands_along(tmp_path):
    path = tmp_path / "m.keras"
    training = TrainingSettings(depth=2, size=32, bands="4,3,2,1")
    contract = replace(contract_of(LIMITS), training=training)
    save(small(bands=4, limits=LIMITS), path, contract)
    parser = cli.new_parser("", [])
    training_options.add(parser)
    words = ["--start-from", str(path)]
    assert training_options.read(parser, words).bands == "4,3,2,1"
    words += ["--bands", "1,2,3,4"]
    match = "has bands 4,3,2,1, asked for was 1,2,3,4.*Leave --bands out"
    with pytest.raises(DataError, match=match):
        training_options.read(parser, words)
    tree = make_band_tree(tmp_path / "t", [noise(4), noise(4)])
    data = dataset.load(
        find_samples(tree), (32, 32), ["building"], lambda i, *_: i,
        bands=(4, 3, 2, 1),
    )  # fmt: skip
    with pytest.raises(DataError, match="made for images of 16 bits, the tr"):
        seen_bands(data, path)
    deep = [noise(4, "uint16"), noise(4, "uint16")]
    tree = make_band_tree(tmp_path / "d", deep)
    data = dataset.load(
        find_samples(tree), (32, 32), ["building"], lambda i, *_: i,
        bands=(4, 3, 2, 1),
    )  # fmt: skip
    assert seen_bands(data, path).limits == tuple(map(tuple, LIMITS))
