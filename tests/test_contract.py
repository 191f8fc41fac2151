"""What a model file says of itself, today's and an older one's."""

import io
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest

from conftest import CODE
from unet.files.errors import DataError
from unet.network import contract_rules
from unet.network.contract import (
    Contract,
    Preprocessing,
    TrainingSettings,
    append_contract,
    read_contract,
)

FULL = Contract(
    classes=["road", "roof"],
    size=[32, 64],
    scale=0.5,
    resolution=[0.2, 0.3],
    separation={"roof": 1.5},
    training=TrainingSettings(loss="bce+dice", class_weights=["balanced"]),
    data={"images": 3, "digest": "abc"},
    scores={"classes": {}, "mean_iou": 0.5, "images": 2},
)
EVALUATION = {"where": "x", "scale": 2, "scores": FULL.scores}


def layer(kind, name, **config):
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name, **config},
    }


def network(channels=1, size=(32, 64), more=()):
    """The description of a network in which nothing is but its ends."""
    layers = [
        layer("InputLayer", "image", batch_shape=[None, *size, 3]),
        *more,
        layer("Conv2D", "last", filters=channels),
    ]
    config = {"layers": layers, "output_layers": [["last", 0, 0]]}
    return {"class_name": "Functional", "config": config}


def weights(change=None):
    """A file of weights; a function may change it."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/last/vars/0"] = np.ones((1, 1, 3, 4), np.float32)
        if change:
            change(file)
    return buffer.getvalue()


def bare(path, config=None, data=None, how=zipfile.ZIP_STORED):
    """A model file without a contract."""
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("config.json", json.dumps(config or network()))
        archive.writestr("model.weights.h5", data or weights())
    return path


def written(path, values, **parts):
    """A model file with a contract of any form."""
    with zipfile.ZipFile(bare(path, **parts), "a") as archive:
        archive.writestr("contract.json", json.dumps(values))
    return path


def test_what_is_written_is_read(tmp_path):
    for number, contract in enumerate(
        (
            FULL,
            replace(FULL, notes={"title": "Roofs"}, evaluations=[EVALUATION]),
        )
    ):
        path = bare(tmp_path / f"{number}.keras", network(3))
        append_contract(path, contract)
        assert read_contract(tmp_path / f"{number}.keras") == contract


def test_the_file_holds_the_format_and_no_empty_notes(tmp_path):
    append_contract(tmp_path / "m.keras", FULL)
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        values = json.loads(archive.read("contract.json"))
    assert list(values)[:3] == ["format", "classes", "size"]
    assert values["format"] == 1
    assert values["training"]["loss"] == "bce+dice"
    assert not {"notes", "evaluations"} & set(values)


def test_an_older_file_has_what_was_done_before_there_were_options(tmp_path):
    old = {
        "format": 1,
        "classes": ["roof"],
        "preprocessing": {"mean": [0.5] * 3, "variance": [0.1] * 3},
        "training": {"size": 64, "augment": "flips"},
    }
    contract = read_contract(written(tmp_path / "m.keras", old))
    assert contract.preprocessing.contrast == "none"
    assert contract.preprocessing.mean == [0.5] * 3
    assert contract.training == TrainingSettings(size=64, augment="flips")
    assert contract.training.padding == "same"
    assert (contract.threshold, contract.resolution) == (0.5, None)
    assert contract.separation == {}


def test_what_a_newer_file_says_besides_is_left_out(tmp_path):
    new = {
        "format": 1,
        "classes": ["roof"],
        "colour": "red",
        "training": {"size": 64, "moon": "full"},
    }
    contract = read_contract(written(tmp_path / "m.keras", new))
    training = TrainingSettings(size=64)
    expected = Contract(["roof"], [32, 64], training=training)
    assert contract == expected


@pytest.mark.parametrize(
    "values",
    [[], {}, {"format": 1}, {"format": 1, "classes": [], "training": 3}],
)
def test_another_contract_is_told(tmp_path, values):
    with pytest.raises(DataError, match=r"m.keras: expected a .keras model"):
        read_contract(written(tmp_path / "m.keras", values))


def test_the_size_of_an_older_file_is_the_networks(tmp_path):
    old = {"format": 1, "classes": ["roof"]}
    config = network(size=(48, 96))
    contract = read_contract(written(tmp_path / "m.keras", old, config=config))
    assert contract.size == [48, 96]


ODD = {
    "classes": [
        *("roof", [], {}, [3], ["a", "a"], ["a/b"], ["..\\b"], [".a"]),
        *(["a\x1b[31m"], ["a\nb"], ["\u202egnp"], [""], ["a "], ["a" * 101]),
        # One name in two spellings.
        ["\u00e9", "e\u0301"],
    ],
    "size": [3, [32], [32, 0], [32, -1], [32.0, 64], [10**9] * 2, ["32", 64]],
    "scale": ["x", 0, -1, float("nan"), float("inf"), 1e300, True, [1]],
    "scales": [[1], [1, 0], [float("nan"), 1], 1],
    "resolution": [[0, 0], [0.2], [float("nan"), 1], [1e99, 1], "x"],
    "threshold": [None, "best", 2, float("nan"), -0.1],
    "best_threshold": ["x", 2, []],
    "separation": [3, [], {"roof": "x"}, {"roof": float("inf")}, {"road": 1}],
    "preprocessing": [3, None, {"contrast": "odd"}, {"mean": [1, 2]}],
    "training": [
        *(3, [], {"depth": 0}, {"depth": 99}, {"depth": "4"}, {"size": 0}),
        *({"dropout": "x"}, {"dropout": [float("nan")]}, {"loss": 3}),
        *({"batch_norm": 1}, {"seed": 1.5}, {"images": "all"}),
    ],
    "data": [3, {"images": "many", "digest": "x"}, {"images": 3}],
    "started_from": [3, {"data": float("nan")}],
    "versions": [3, {"keras": 3}, {"ker\x1bas": "3"}],
    "scores": [3, {}, {"classes": {"roof": {}}, "mean_iou": 1}],
    "notes": [3, {"title": 3}, {"title": "\x1b[2J"}, {"limits": "none"}],
    "evaluations": [3, [3], [{}], [{"where": "x", "scale": 1, "scores": 3}]],
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_field_is_told_in_one_line(tmp_path, name):
    for odd in ODD[name]:
        values = {"format": 1, "classes": ["roof"], name: odd}
        path = written(tmp_path / "m.keras", values)
        with pytest.raises(DataError, match=name) as told:
            read_contract(path)
        text = str(told.value)
        assert text.startswith(f"{path}: expected a .keras model made by code/")
        assert text.isprintable()
        assert len(text) < 600


@pytest.mark.parametrize(
    ("values", "config", "told"),
    [
        ({"classes": ["a", "b"]}, network(2), r"2 class.*2 output"),
        ({"classes": ["a"]}, network(2), r"1 class.*2 output"),
        ({"size": [64, 32]}, network(), r"size \[64, 32\].*\[32, 64\]"),
        (
            {"training": {"depth": 1}},
            network(more=[layer("Conv2DTranspose", f"u{k}") for k in (1, 2)]),
            "depth 1 with a network of 2",
        ),
    ],
)
def test_the_contract_of_another_network_is_told(
    tmp_path, values, config, told
):
    values = {"format": 1, "classes": ["a"], **values}
    path = written(tmp_path / "m.keras", values, config=config)
    with pytest.raises(DataError, match=told):
        read_contract(path)


@pytest.mark.parametrize("found", [2, None, "1", [1], "\x1b[2J" * 999])
def test_another_format_is_told(tmp_path, found):
    path = written(tmp_path / "m.keras", {"format": found})
    told = f"expected format 1, found {re.escape(json.dumps(found)[:80])}"
    with pytest.raises(DataError, match=told):
        read_contract(path)


def test_a_contract_reaches_no_file_beyond_its_place(tmp_path):
    classes = ["../../victim"]
    values = {"format": 1, "classes": classes}
    written(tmp_path / "m.keras", values)
    (tmp_path / "photo.png").write_bytes(b"not looked at")
    words = [
        *(sys.executable, "-X", "importtime", CODE / "test/test.py"),
        *("photo.png", "--model", "m.keras", "--out", "a/b"),
    ]
    result = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    *imports, line = result.stderr.splitlines()
    assert line.startswith("test.py: m.keras: expected a .keras model")
    loaded = {line.split()[-1] for line in imports}
    assert "zipfile" in loaded
    assert loaded & {"keras", "tensorflow"} == set()
    assert not (tmp_path / "a").exists()


def sparse(file):
    """Numbers that were never written: a file of 2 kB has 4 GB of them."""
    file.create_dataset("layers/x/vars/0", (2**30,), np.float32)


def packed(file):
    kept = {"compression": "gzip", "chunks": (2**20,)}
    file.create_dataset("x", data=np.zeros(2**22, np.float32), **kept)


def outside(file):
    place = [("secret.bin", 0, 64)]
    file.create_dataset("x", (16,), np.float32, external=place)


def linked(file):
    file["x"] = h5py.ExternalLink("secret.h5", "/x")


def infinite(file):
    file["layers/last/vars/0"][0, 0, 0, 0] = np.inf


def circular(file):
    file["layers/again"] = file["layers"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (sparse, "more weights than it has bytes"),
        (packed, "more weights than it has bytes"),
        (outside, "its weights lie in another file"),
        (linked, "its weights link to others"),
        (infinite, "its weights are not finite"),
        (circular, "recursion"),
    ],
)
def test_hostile_weights_are_told(tmp_path, change, told):
    values = {"format": 1, "classes": ["roof"]}
    path = written(tmp_path / "m.keras", values, data=weights(change))
    with pytest.raises(DataError, match=rf"m.keras: the model is.*{told}"):
        read_contract(path)


@pytest.mark.parametrize(
    "more",
    [
        layer("Lambda", "x", function="print"),
        layer("StringLookup", "x", vocabulary="/etc/passwd"),
        layer("TFSMLayer", "x", filepath="elsewhere"),
        {**layer("Thing", "x"), "module": "os.path"},
        layer("Wrapper", "x", layer=layer("Lambda", "y")),
        layer("Conv2D", "x", filters=10**9),
        layer("Conv2D", "x", kernel_size=[10**200, 3]),
        layer("Conv2D", "x", strides=[-1, -1]),
        layer("UpSampling2D", "x", size=[2**14, 2]),
    ],
)
def test_layers_that_reach_beyond_the_file_are_told(tmp_path, more):
    values = {"format": 1, "classes": ["roof"]}
    config = network(more=[more])
    path = written(tmp_path / "m.keras", values, config=config)
    with pytest.raises(DataError, match=r"the model is damaged \(a layer"):
        read_contract(path)


def test_inverted_bytes_and_bombs_are_told_before_keras_sees_them(tmp_path):
    values = {"format": 1, "classes": ["roof"]}
    path = written(tmp_path / "m.keras", values)
    content = path.read_bytes()
    at = content.index(weights()) + 900
    inverted = bytes(255 - byte for byte in content[at : at + 400])
    path.write_bytes(content[:at] + inverted + content[at + 400 :])
    with pytest.raises(DataError, match=r"damaged \(Bad CRC-32.*weights"):
        read_contract(path)

    bomb = weights() + bytes(2**26)
    written(path, values, data=bomb, how=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**17
    with pytest.raises(DataError, match="would unpack to 6"):
        read_contract(path)


def test_every_field_of_a_contract_has_a_rule():
    for part, rules in (
        (Contract, contract_rules.CONTRACT),
        (Preprocessing, contract_rules.PREPROCESSING),
        (TrainingSettings, contract_rules.TRAINING),
    ):
        names = {field.name for field in fields(part)}
        assert names - {"preprocessing", "training"} == set(rules)
