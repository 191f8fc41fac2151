"""The network is the article's, and its file needs nothing but Keras."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from unet.files.errors import DataError
from unet.network.backend import half_precision, keras
from unet.network.contract import Contract, read_contract
from unet.network.model import (
    any_size,
    build_unet,
    convolutions,
    for_training,
    freeze_encoder,
    load,
    save,
)
from unet.network.own_layers import (
    FadingDropout,
    FusedBatchNormalization,
    made,
)

layers = keras.layers
BUILDING = Contract(["building"])
TINY = {"size": (32, 32), "filters": 2}
MEAN = {"mean": [0.4, 0.5, 0.6], "variance": [0.04, 0.05, 0.06]}


def images(count=2, size=32):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), np.uint8)


def kinds(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("centring", [{}, MEAN])
def test_default_is_the_articles_network(centring):
    model = build_unet(**centring)
    assert convolutions(model) == 23
    assert len(kinds(model, layers.Conv2DTranspose)) == 4
    assert model.count_params() == 1_941_105
    assert sum(w.numpy().size for w in model.trainable_weights) == 1_941_105
    assert model.output_shape == (None, 128, 128, 1)
    inner = [
        layer
        for layer in kinds(model, layers.Conv2D)
        if layer.kernel_size == (3, 3)
    ]
    assert len(inner) == 18
    for layer in inner:
        assert layer.activation is keras.activations.elu
        assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
    rates = [layer.rate for layer in kinds(model, layers.Dropout)]
    assert rates == [0.1, 0.1, 0.2, 0.2, 0.3, 0.2, 0.2, 0.1, 0.1]
    assert model.layers[-1].activation is keras.activations.sigmoid


def test_input_is_centred_inside_the_network():
    model = build_unet(**TINY, **MEAN)
    first_convolution = kinds(model, layers.Conv2D)[0]
    centred = keras.Model(model.inputs, first_convolution.input)
    X = images()
    expected = (X / 255 - MEAN["mean"]) / np.sqrt(MEAN["variance"])
    assert np.allclose(centred.predict(X, verbose=0), expected, atol=1e-5)


def test_more_classes_give_a_softmax():
    probability = build_unet(classes=["road", "roof", "tree"], **TINY).predict(
        images(), verbose=0
    )
    assert probability.shape == (2, 32, 32, 4)
    assert np.allclose(probability.sum(axis=-1), 1, atol=1e-5)


def test_batch_norm_follows_every_activation():
    model = build_unet(batch_norm=True, **TINY)
    norms = kinds(model, layers.BatchNormalization)
    assert len(norms) == 18
    assert {layer.momentum for layer in norms} == {0.98}
    for layer in norms:
        before = layer.input._keras_history.operation
        assert before.activation is keras.activations.elu


def test_residual_adds_one_shortcut_a_block_of_the_encoder():
    model = build_unet(encoder="residual", **TINY)
    assert len(kinds(model, layers.Add)) == 5
    assert convolutions(model) == 23 + 5


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_depth_and_sides_may_differ(depth):
    model = build_unet((64, 32), depth=depth, filters=2, dropout=[0.1, 0.2])
    assert model.output_shape == (None, 64, 32, 1)
    assert convolutions(model) == 2 * (2 * depth + 1) + 1 + depth
    rates = [layer.rate for layer in kinds(model, layers.Dropout)]
    assert rates[: depth + 1] == [0.1] + [0.2] * depth


def test_mirrored_borders_open_with_plain_keras_and_are_exact(tmp_path):
    model = build_unet(padding="reflect", **TINY)
    assert model.output_shape == build_unet(**TINY).output_shape
    assert convolutions(model) == 23
    path = tmp_path / "m.keras"
    save(model, path, BUILDING)
    opened = keras.models.load_model(path, safe_mode=True)
    expected = model.predict(images(), verbose=0)
    assert np.array_equal(opened.predict(images(), verbose=0), expected)
    pads = [o for o in opened.operations if type(o).__name__ == "Pad"]
    assert len(pads) == 18
    inner = keras.Model(opened.inputs, [pads[1].input, pads[1].output])
    before, after = inner.predict(images(), verbose=0)
    width = ((0, 0), (1, 1), (1, 1), (0, 0))
    assert np.array_equal(after, np.pad(before, width, mode="reflect"))


def test_a_single_pixel_cannot_be_mirrored():
    build_unet((32, 32), filters=2, padding="reflect")
    with pytest.raises(DataError, match=r"size 16.*at least 32.*reflect"):
        build_unet((16, 16), filters=2, padding="reflect")


def test_kinds_of_dropout():
    none = build_unet(dropout_kind="none", **TINY)
    assert {layer.rate for layer in kinds(none, layers.Dropout)} == {0}
    spatial = build_unet(dropout_kind="spatial", **TINY)
    rates = [layer.rate for layer in kinds(spatial, layers.SpatialDropout2D)]
    assert rates == [0.1, 0.1, 0.2, 0.2, 0.3, 0.2, 0.2, 0.1, 0.1]
    assert build_unet(**TINY).count_params() == spatial.count_params()


@pytest.mark.parametrize("dropout_kind", ["standard", "spatial"])
def test_what_only_training_needs_is_not_saved(tmp_path, dropout_kind):
    model = build_unet(
        batch_norm=True, dropout_kind=dropout_kind, **TINY, **MEAN
    )
    fading = dropout_kind == "standard"
    trained = for_training(model, fading=fading, mixed_precision=True)
    assert trained.layers[5].compute_dtype == half_precision()
    assert trained.output.dtype == "float32"
    assert len(kinds(trained, FadingDropout)) == 9 * fading
    path = tmp_path / "m.keras"
    save(trained, path, BUILDING)
    opened = keras.models.load_model(path, safe_mode=True)
    assert {layer.compute_dtype for layer in opened.layers} == {"float32"}
    assert [(type(a), a.name) for a in opened.layers] == [
        (type(b), b.name) for b in model.layers
    ]
    for kind in (layers.Dropout, layers.SpatialDropout2D):
        rates = [layer.rate for layer in kinds(opened, kind)]
        assert rates == [layer.rate for layer in kinds(model, kind)]
    expected = model.predict(images(), verbose=0)
    assert np.array_equal(opened.predict(images(), verbose=0), expected)
    assert np.allclose(
        trained.predict(images(), verbose=0), expected, atol=0.05
    )


def test_fused_normalisation_learns_the_same():
    keras.utils.set_random_seed(0)
    model = build_unet(batch_norm=True, dropout_kind="none", **TINY, **MEAN)
    twin = made(json.loads(model.to_json()), model)
    fused = for_training(model)
    assert len(kinds(fused, FusedBatchNormalization)) == 18
    assert not kinds(twin, FusedBatchNormalization)
    truth = images()[..., :1] > 127
    for each in (twin, fused):
        each.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    for _ in range(3):
        losses = [m.train_on_batch(images(), truth) for m in (twin, fused)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for ours, theirs in zip(fused.weights, twin.weights, strict=True):
        assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-4), theirs.path
    answers = [m.predict_on_batch(images()) for m in (twin, fused)]
    assert np.allclose(*answers, atol=1e-3)
    frozen = FusedBatchNormalization(trainable=False)
    maps = images().astype(np.float32)
    assert np.allclose(frozen(maps, training=True), maps / np.sqrt(1.001))


@pytest.mark.parametrize(
    "options", [{"scale": False}, {"center": False}, {"axis": 1}]
)
def test_other_normalisation_stays_kerass_own(options):
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, layers.BatchNormalization(**options)(image))
    assert for_training(model) is model


def test_training_without_wishes_has_the_network_itself():
    model = build_unet(**TINY)
    assert for_training(model) is model


def test_starting_from_a_model_trains_all_of_it_or_the_way_up(tmp_path):
    model = build_unet(**TINY)
    path = tmp_path / "m.keras"
    save(model, path, BUILDING)
    whole, half = load(path), load(path)
    freeze_encoder(half)
    assert len(whole.trainable_weights) == 46
    frozen = [layer for layer in half.layers if not layer.trainable]
    assert len(kinds(half, layers.Conv2D)) == 19
    assert sum(isinstance(one, layers.Conv2D) for one in frozen) == 10
    assert len(half.trainable_weights) == 46 - 2 * 10
    save(half, path, BUILDING)
    assert len(load(path).trainable_weights) == 46
    pairs = zip(model.get_weights(), half.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_wrong_size_is_refused():
    with pytest.raises(DataError, match=r"size 100.*multiple of 16.*96 or 112"):
        build_unet((100, 100))


def test_saved_model_opens_with_plain_keras_and_predicts_the_same(tmp_path):
    model = build_unet(**TINY, **MEAN)
    model.compile("adam", "binary_crossentropy")
    target = np.zeros((2, 32, 32, 1), np.uint8)
    model.fit(images(), target, verbose=0)
    path = tmp_path / "m.keras"
    save(model, path, BUILDING)
    opened = keras.models.load_model(path, safe_mode=True)
    assert not opened.compiled
    expected = model.predict(images(), verbose=0)
    assert np.array_equal(opened.predict(images(), verbose=0), expected)
    assert np.array_equal(load(path).predict(images(), verbose=0), expected)
    # The size was not told: it is the network's.
    assert read_contract(path) == replace(BUILDING, size=[32, 32])
    assert list(tmp_path.iterdir()) == [path]


def test_default_model_file_is_small(tmp_path):
    save(build_unet(**MEAN), tmp_path / "m.keras", BUILDING)
    assert (tmp_path / "m.keras").stat().st_size < 9_000_000


def test_a_missing_model_is_told(tmp_path):
    with pytest.raises(DataError, match=r"none.keras.*found nothing"):
        load(tmp_path / "none.keras")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut"])
def test_what_is_no_model_is_told(tmp_path, content):
    path = tmp_path / "m.keras"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"m.keras.*\.keras model"):
        load(path)


def test_a_model_without_contract_or_of_the_future_is_told(tmp_path):
    path = tmp_path / "m.keras"
    build_unet(**TINY).save(path)
    with pytest.raises(DataError, match=r"made by code/train"):
        load(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("contract.json", json.dumps({"format": 2}))
    with pytest.raises(DataError, match=r"expected format 1, found 2"):
        load(path)


def test_a_damaged_model_is_told(tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr(
            "contract.json", json.dumps({"format": 1, "classes": []})
        )
    with pytest.raises(DataError, match=r"m.keras: the model is damaged"):
        load(path)


@pytest.mark.parametrize("padding", ["same", "reflect"])
@pytest.mark.parametrize("norm", [False, True])
def test_a_network_of_any_size_is_the_same_network(padding, norm):
    keras.utils.set_random_seed(1)
    model = build_unet(
        (32, 32), filters=2, depth=2, padding=padding, batch_norm=norm
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 80, 3), np.uint8)
    model.compile(loss=lambda truth, answer: answer)  # no file can hold it
    free = any_size(model)
    own = free.predict_on_batch(images[:, :32, :32])
    assert np.allclose(own, model.predict_on_batch(images[:, :32, :32]))
    assert free.predict_on_batch(images).shape == (2, 48, 80, 1)
