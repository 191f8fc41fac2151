"""What a model file says of itself, today's and an older one's."""

import json
import zipfile
from dataclasses import replace

import pytest

from unet.files.errors import DataError
from unet.network.contract import (
    Contract,
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
    scores={"images": 2},
)


def written(path, values):
    """A file with a contract of any form."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("contract.json", json.dumps(values))
    return path


def test_what_is_written_is_read(tmp_path):
    for number, contract in enumerate(
        (FULL, replace(FULL, notes={"title": "Roofs"}, evaluations=[{}]))
    ):
        append_contract(tmp_path / f"{number}.keras", contract)
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
    expected = Contract(["roof"], training=TrainingSettings(size=64))
    assert contract == expected


@pytest.mark.parametrize(
    "values",
    [[], {}, {"format": 1}, {"format": 1, "classes": [], "training": 3}],
)
def test_another_contract_is_told(tmp_path, values):
    with pytest.raises(DataError, match=r"m.keras: expected a .keras model"):
        read_contract(written(tmp_path / "m.keras", values))
