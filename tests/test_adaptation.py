"""Models brought nearer to images of which nothing is labelled."""

import json

import cv2
import numpy as np
import pytest

from conftest import assert_refused, make_tree, run_script, small_network
from test_scenes import write_scene
from unet.files.errors import DataError
from unet.files.folders import Sample, find_samples
from unet.imagery.png import write_png
from unet.imagery.reading import read_image
from unet.network.backend import keras
from unet.network.contract import Contract
from unet.network.model import build_unet, save
from unet.prediction import adaptation
from unet.prediction.strip import Settings

CONTRACT = Contract(["building"], [32, 32], scale=0.5)


def normalised():
    """A network with batch normalisation and dropout, as when it is loaded."""
    keras.utils.set_random_seed(4)
    model = build_unet(
        (32, 32), filters=2, depth=2, batch_norm=True, dropout=[0.5] * 3
    )
    return keras.Model(model.inputs, model.outputs[0])


def statistics(model):
    layers = adaptation.normalising(model)
    return [[v.numpy() for v in layer.weights[2:]] for layer in layers]


def noise(count, size=32):
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3))


def test_all_of_the_way_are_the_statistics_of_the_images():
    model, seen = normalised(), noise(32).astype(np.uint8)
    first = adaptation.normalising(model)[0]
    given = keras.Model(model.inputs, first.input).predict(seen, verbose=0)
    adaptation.adapt(model, seen, 1)
    mean, variance = statistics(model)[0]
    halves = given.reshape(2, -1, given.shape[-1])
    assert np.allclose(mean, halves.mean(axis=1).mean(axis=0), atol=1e-5)
    assert np.allclose(variance, halves.var(axis=1).mean(axis=0), rtol=1e-4)


def test_a_share_is_a_share_of_the_way_and_nothing_else_changes():
    seen = noise(16).astype(np.uint8)
    models = [normalised() for _ in range(3)]
    for model, share in zip(models, (0, 0.25, 1), strict=True):
        adaptation.adapt(model, seen, share)
    old, some, new = map(statistics, models)
    for layer in zip(old, some, new, strict=True):
        for a, b, c in zip(*layer, strict=True):
            assert np.allclose(b, 0.75 * a + 0.25 * c, atol=1e-6)
            assert not np.allclose(a, c)
    one, other = models[0], models[2]
    for a, b in zip(
        one.trainable_variables, other.trainable_variables, strict=True
    ):
        assert np.array_equal(a.numpy(), b.numpy())
    assert np.allclose(statistics(normalised())[0], old[0])
    momenta = {layer.momentum for layer in adaptation.normalising(other)}
    rates = {o.rate for o in other.layers if hasattr(o, "rate")}
    assert momenta == {0.98}
    assert rates == {0.5}


def test_photos_are_views_as_the_network_sees_them(tmp_path):
    samples = find_samples(make_tree(tmp_path, 80, size=40))
    seen = adaptation.views(samples, CONTRACT, Settings(scale=0.5))
    whole = {
        cv2.resize(
            read_image(s.image), (32, 32), interpolation=cv2.INTER_AREA
        ).tobytes()
        for s in samples
    }
    assert seen.shape == (64, 32, 32, 3)
    assert len({view.tobytes() for view in seen} & whole) == 64
    again = adaptation.views(samples, CONTRACT, Settings(scale=0.5))
    assert np.array_equal(seen, again)
    other = adaptation.views(samples, CONTRACT, Settings(scale=0.5), seed=1)
    assert not np.array_equal(seen, other)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_views_of_a_scene_are_parts_of_it_from_all_over(tmp_path, name):
    rows, columns = np.mgrid[:640, :960]
    image = np.stack([rows // 4, columns // 4, 0 * rows], -1).astype(np.uint8)
    if name == "a.tif":
        write_scene(tmp_path / name, image)
    else:
        write_png(tmp_path / name, image)
    samples = [Sample("a", tmp_path / name, None)]
    seen = adaptation.views(samples, CONTRACT, Settings(scale=1.0))
    assert seen.shape == (64, 32, 32, 3)
    places = {tuple(view[0, 0, :2].tolist()) for view in seen}
    for row, column in places:
        assert row % 8 == 0
        assert column % 8 == 0
    assert len(places) == 64
    assert len({row for row, _ in places}) == 8
    assert len({column for _, column in places}) > 15


def test_too_few_images_are_refused(tmp_path):
    samples = find_samples(make_tree(tmp_path, 15))
    with pytest.raises(DataError, match=r"at least 16 .* found 15\. Give"):
        adaptation.views(samples, CONTRACT, Settings())


def test_a_damaged_photo_is_no_view_and_stops_nothing(tmp_path):
    samples = find_samples(make_tree(tmp_path, 17))
    samples[0].image.write_bytes(samples[0].image.read_bytes()[:60])
    seen = adaptation.views(samples, CONTRACT, Settings())
    assert len(seen) == 16


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with 16 samples, and models with and without statistics."""
    root = tmp_path_factory.mktemp("place")
    make_tree(root / "tree", 16)
    save(normalised(), root / "m.keras", CONTRACT)
    save(small_network(), root / "plain.keras", CONTRACT)
    return root


def predict(place, out, *more, model="m.keras"):
    words = "tree", "--model", model, "--out", out, *more
    return run_script("test/test.py", *words, cwd=place)


def test_the_user_sees_both_masks_and_chooses(place):
    assert predict(place, "a").returncode == 0
    result = predict(place, "b", "--adapt", 1)
    assert result.returncode == 0, result.stderr
    assert (
        "statistics of 16 views of these images by a share of 1: compare "
        "both masks in b/adapted.png"
    ) in result.stdout
    assert not (place / "a" / "adapted.png").exists()
    assert read_image(place / "b" / "adapted.png").std() > 10
    plain, adapted = [
        json.loads((place / out / "scores.json").read_text()) for out in "ab"
    ]
    assert plain["adapt"] is None
    assert adapted["adapt"] == 1
    assert plain["classes"] != adapted["classes"]
    (place / "b" / "scores.json").unlink()
    assert_refused(predict(place, "b", "--adapt", 1), "--overwrite")


def test_a_model_that_keeps_no_statistics_is_refused(place):
    result = predict(place, "c", "--adapt", "0.25", model="plain.keras")
    assert_refused(result, "plain.keras", "no batch normalisation")
    assert not (place / "c").exists()
