"""model_card.py says what the model's file says."""

import json
from dataclasses import replace

import pytest

from conftest import assert_refused, run_script
from unet.network.contract import Contract, TrainingSettings, read_contract
from unet.network.model import build_unet, save
from unet.terminal import cli

CARD = "test/model_card.py"


def summary(iou, images=7):
    one = {"iou": iou, "iou_interval": [0.5, 0.75], "precision": 0.875,
           "recall": None}  # fmt: skip
    return {"images": images, "mean_iou": 0.8125, "classes": {"roof": one}}


CONTRACT = Contract(
    classes=["roof"],
    size=[32, 64],
    scale=0.5,
    best_threshold=0.4375,
    training=TrainingSettings(
        augment="wide", batch_norm=True, clip_norm=1.0, seed=3
    ),
    data={"images": 1234, "digest": "abcdef"},
    versions={"keras": "3.15.1"},
    scores=summary(0.625),
)
MORE = replace(
    CONTRACT,
    resolution=[0.3, 0.25],
    notes={
        "title": "Roofs",
        "trained_on": "tiles of two places",
        "attribution": ["Imagery: somebody, CC BY 4.0."],
        "limits": ["Sheds are missed."],
    },
    evaluations=[
        {"where": "another place", "scale": 2.0, "scores": summary(0.25, 9)}
    ],
)


# No pixel of it is background.
COVER = {
    **summary(0.625),
    "mean_iou_classes": 0.4375,
    "mean_iou_classes_interval": [0.25, 0.5],
    "confusion": {
        "labels": ["background", "roof", "road"],
        "counts": [[0, 0, 0], [1, 5, 0], [0, 2, 9]],
    },
}
COVER["classes"]["road"] = {**COVER["classes"]["roof"], "iou": 0.3125}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("cards")
    model = build_unet((32, 64), filters=2, depth=2)
    save(model, root / "plain.keras", CONTRACT)
    save(model, root / "more.keras", MORE)
    cover = replace(CONTRACT, classes=["roof", "road"], scores=COVER)
    model = build_unet((32, 64), cover.classes, filters=2, depth=2)
    save(model, root / "cover.keras", cover)
    return root


def test_a_card_has_what_training_knows(place):
    result = run_script(
        CARD, "--model", "plain.keras", "--out", "plain.md", cwd=place
    )
    assert result.returncode == 0, result.stderr
    text = (place / "plain.md").read_text()
    assert text.startswith("# U-Net: plain.keras\n")
    assert "* Finds: roof\n" in text
    assert "64 x 32 pixels" in text
    assert "at 0.5 of their own size" in text
    assert "0.5 (best on its validation images: 0.4375)" in text
    assert "recipe: augment wide, batch-norm on, clip-norm 1\n" in text
    assert "Seed 3; keras 3.15.1" in text
    assert "1234 images, digest `abcdef`" in text
    row = "| 7 | 1 | roof | 0.625 | 0.500 to 0.750 | 0.875 |  | 0.812 |"
    assert row in text
    assert "Attribution" not in text


def test_a_card_has_what_was_measured_and_noted_later(place):
    run_script(CARD, "--model", "more.keras", cwd=place).check_returncode()
    text = (place / "MODEL.md").read_text()
    assert text.startswith("# Roofs: more.keras\n")
    assert "* Tiles of two places\n" in text
    assert "at 0.3 x 0.25 m a pixel" in text
    assert "| another place | 9 | 2 | roof | 0.250 |" in text
    assert text.index("Sheds are missed.") > text.index("## Limits")
    assert text.endswith("## Attribution\n\n* Imagery: somebody, CC BY 4.0.\n")


def test_a_card_is_not_replaced_unasked(place):
    path = place / "kept.md"
    path.write_text("mine")
    words = (CARD, "--model", "plain.keras", "--out", "kept.md")
    assert_refused(run_script(*words, cwd=place), "kept.md", "--overwrite")
    assert path.read_text() == "mine"
    run_script(*words, "--overwrite", cwd=place).check_returncode()
    assert path.read_text() != "mine"


def test_a_card_does_without_data(place, tmp_path):
    model = build_unet((32, 64), filters=2, depth=2)
    save(model, tmp_path / "a.keras", replace(CONTRACT, data=None))
    run_script(CARD, "--model", "a.keras", cwd=tmp_path).check_returncode()
    text = (tmp_path / "MODEL.md").read_text()
    assert "digest" not in text
    assert "Seed 3" in text


@pytest.fixture
def shipped():
    """The contract of the model that comes with the project."""
    return read_contract(cli.SHIPPED)


def test_the_shipped_model_says_whose_images_it_learned_from(shipped):
    page = cli.SHIPPED.with_name("MODEL.md").read_text()
    for owner in ("OpenAerialMap contributors, CC BY 4.0", "OpenStreetMap"):
        assert owner in page
    places = {one["where"]: one for one in shipped.evaluations}
    for where, one in places.items():
        assert f"| {where} | {one['images']} |" in page


def test_the_card_of_the_shipped_model_is_what_its_file_says(tmp_path):
    run_script(CARD, "--out", "card.md", cwd=tmp_path).check_returncode()
    page = cli.SHIPPED.with_name("MODEL.md").read_text()
    assert (tmp_path / "card.md").read_text() == page


def test_the_shipped_model_finds_roofs_at_first_call(tmp_path):
    words = ("--model", cli.SHIPPED, "--out", "found")
    result = run_script("test/test.py", *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    scores = json.loads((tmp_path / "found" / "scores.json").read_text())
    assert scores["classes"]["building"]["iou"] > 0.5


def test_a_card_of_several_classes_begins_with_their_mean(place):
    run_script(
        CARD, "--model", "cover.keras", "--out", "cover.md", cwd=place
    ).check_returncode()
    rows = [
        [cell.strip() for cell in line.split("|")[4:-1]]
        for line in (place / "cover.md").read_text().splitlines()
        if line.startswith("| test folders")
    ]
    assert rows == [
        ["mean of the classes", "0.438", "0.250 to 0.500", "", "", ""],
        ["roof", "0.625", "0.500 to 0.750", "0.875", "", ""],
        ["road", "0.312", "0.500 to 0.750", "0.875", "", ""],
    ]
