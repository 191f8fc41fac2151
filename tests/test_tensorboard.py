"""--tensorboard: what a run writes for TensorBoard, and that it must ask."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from conftest import make_tree, run_script, small_network
from unet.files.errors import DataError
from unet.network.backend import keras
from unet.terminal import watching
from unet.training.watching import Watched


def events(directory):
    """Steps by tag, and the pictures of ``predictions``, of a directory."""
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    read = accumulators.EventAccumulator(
        str(directory), size_guidance={"tensors": 0}
    )
    read.Reload()
    steps, pictures = {}, []
    for tag in read.Tags()["tensors"]:
        found = read.Tensors(tag)
        steps[tag] = [event.step for event in found]
        if tag == "predictions":
            pictures = [e.tensor_proto.string_val[2] for e in found]
    return steps, pictures


def test_a_resumed_training_goes_on_in_the_same_curves(tmp_path):
    pytest.importorskip("tensorboard")
    model = small_network()
    model.compile(optimizer="sgd", loss="binary_crossentropy")
    X = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    Y = (X[..., :1] > 128).astype(np.float32)
    seen = []

    def draw(answers):
        seen.append(answers)
        figure = Figure(figsize=(1, 1))
        figure.add_subplot().imshow(answers[0, ..., 0], vmin=0, vmax=1)
        return figure

    for first, epochs in ((0, 1), (1, 3)):
        model.fit(
            *(X, Y),
            validation_data=(X, Y),
            initial_epoch=first,
            epochs=epochs,
            callbacks=[Watched(tmp_path, X[:2], draw)],
            verbose=0,
        )
    steps, pictures = events(tmp_path / "validation")
    assert steps["epoch_loss"] == steps["predictions"] == [0, 1, 2]
    assert len(pictures) == 3
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    steps, _ = events(tmp_path / "train")
    assert steps["epoch_loss"] == steps["epoch_learning_rate"] == [0, 1, 2]
    # The picture shows the weights that were validated.
    expected = model.predict(X[:2], verbose=0)
    assert np.allclose(seen[-1], expected, atol=1e-5)
    assert not np.allclose(seen[0], expected, atol=1e-7)
    keras.utils.clear_session()


def test_a_run_writes_it_when_asked(tmp_path):
    pytest.importorskip("tensorboard")
    make_tree(tmp_path / "data" / "train", 6)
    result = run_script(
        *("train/train_unet.py", "data", "--size", 32, "--filters", 2),
        *("--depth", 2),
        *("--dry-run", "--tensorboard", "--out", "run", "--quiet"),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert "for TensorBoard: run/tensorboard" in result.stdout
    steps, pictures = events(tmp_path / "run" / "tensorboard" / "validation")
    assert {"epoch_loss", "epoch_building_iou", "predictions"} <= set(steps)
    assert len(pictures) == 1


@pytest.mark.parametrize("package", ["tensorboard", "tensorflow"])
def test_a_missing_package_is_said_before_anything_starts(package, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=f"pip install {package}"):
        watching.check(True)
    watching.check(False)
