"""The training script as its user runs it."""

import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, assert_refused, make_tree, run_script
from unet.network.backend import has_half_precision, keras
from unet.network.contract import read_contract
from unet.terminal import cli

TRAIN = "train/train_unet.py"
PLAIN = ["--size", 32, "--filters", 2, "--batch-size", 4, "--quiet"]
# Half as many convolutions: what takes time is to trace them.
SMALL = [*PLAIN, "--depth", 2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    make_tree(root / "train", 12, seed=1)
    make_tree(root / "test", 3, seed=2)
    return root


def train(data, cwd, *options, small=SMALL, **how):
    words = [data, *small, "--model", "my.keras", *options]
    return run_script(TRAIN, *words, cwd=cwd, **how)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A finished run of three epochs: (directory, process)."""
    cwd = tmp_path_factory.mktemp("trained")
    words = ["--epochs", 3, "--out", "run"]
    result = train(data, cwd, *words, small=PLAIN, anew=True)
    assert result.returncode == 0, result.stderr
    return cwd, result


def test_a_run_leaves_everything_it_promises(trained):
    cwd, _ = trained
    assert sorted(path.name for path in (cwd / "run").iterdir()) == [
        "augmented.png",
        "curves.png",
        "features.png",
        "log.csv",
        "predictions.png",
        "reliability.png",
        "samples.png",
        "settings.json",
        "summary.json",
        "unet.keras",
    ]
    log = pd.read_csv(cwd / "run" / "log.csv")
    assert {"loss", "mean_iou", "building_iou", "val_building_iou"} <= set(log)
    assert len(log) == 3


def test_terminal_tells_the_data_and_the_scores_and_nothing_else(trained):
    _, result = trained
    assert "12 images" in result.stdout
    assert "23 convolutional layers" in result.stdout
    assert "building IoU" in result.stdout
    assert result.stderr == ""


def test_model_is_copied_and_knows_itself(trained, data):
    cwd, _ = trained
    assert (cwd / "my.keras").read_bytes() == (
        cwd / "run" / "unet.keras"
    ).read_bytes()
    contract = read_contract(cwd / "my.keras")
    assert contract.classes == ["building"]
    assert contract.size == [32, 32]
    assert contract.scores["images"] == 3
    assert contract.training.epochs == 3
    assert str(data) not in json.dumps(contract.as_dict())
    summary = json.loads((cwd / "run" / "summary.json").read_text())
    assert summary["scores"] == contract.scores
    assert summary["images"] == {"training": 11, "validation": 1, "test": 3}


def test_the_same_command_gives_the_same_weights(trained, data, tmp_path):
    cwd, _ = trained
    words = ["--epochs", 3, "--out", "run"]
    result = train(data, tmp_path, *words, small=PLAIN)
    assert result.returncode == 0, result.stderr
    first, second = (
        keras.models.load_model(place / "my.keras").get_weights()
        for place in (cwd, tmp_path)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    first, second = (
        pd.read_csv(place / "run" / "log.csv").drop(columns="seconds")
        for place in (cwd, tmp_path)
    )
    assert first.equals(second)


def train_over_a_model(data, cwd, *options):
    """Train one epoch where there is a model already."""
    (cwd / "my.keras").write_text("precious")
    result = train(data, cwd, "--epochs", 1, "--out", "run", *options)
    assert result.returncode == 0, result.stderr
    return cwd, result


@pytest.fixture(scope="module")
def mixed(data, tmp_path_factory):
    """A training in 16 bits that may replace a model."""
    cwd = tmp_path_factory.mktemp("mixed")
    return train_over_a_model(data, cwd, "--mixed-precision", "--overwrite")


@pytest.fixture(scope="module")
def article(data, tmp_path_factory):
    """A training with the article's input that may replace nothing."""
    cwd = tmp_path_factory.mktemp("article")
    return train_over_a_model(data, cwd, "--normalisation", "article")


def test_mixed_precision_never_makes_a_training_slower(mixed):
    cwd, result = mixed
    contract = read_contract(cwd / "my.keras")
    assert contract.training.mixed_precision == has_half_precision()
    refused = "this processor has no bfloat16" in result.stdout
    assert refused != has_half_precision()


def test_old_model_is_kept_unless_told_otherwise(article, mixed):
    kept = article[0] / "my.before-run.keras"
    assert kept.read_text() == "precious"
    assert not list(mixed[0].glob("*before*"))


@pytest.mark.parametrize("words", [[], ["--overwrite"], ["--dry-run"]])
def test_the_model_that_ships_is_never_replaced(data, tmp_path, words):
    link = tmp_path / "link.keras"
    link.symlink_to(cli.SHIPPED)
    for path in (cli.SHIPPED, link):
        result = train(data, tmp_path, "--model", path, *words)
        assert_refused(result, path.name, "another --model")
    assert not (tmp_path / "runs").exists()


def test_the_model_that_ships_is_kept_and_that_of_a_training_is_not():
    """A training without --model must leave the tree as git knows it."""

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, check=False
        )

    if git("rev-parse").returncode:
        pytest.skip("no git here")
    assert git("ls-files", "--error-unmatch", cli.SHIPPED).returncode == 0
    assert git("check-ignore", cli.MODEL).returncode == 0
    assert git("check-ignore", "--no-index", cli.SHIPPED).returncode == 1


@pytest.fixture(scope="module")
def tried_out(data, tmp_path_factory):
    """The directory of a dry run whose gradients are as long as they are."""
    cwd = tmp_path_factory.mktemp("dry")
    words = ["--dry-run", "--epochs", 9, "--clip-norm", 0]
    result = train(data, cwd, *words)
    assert result.returncode == 0, result.stderr
    return cwd


def test_dry_run_does_everything_once_and_leaves_the_model_alone(tried_out):
    (run,) = (tried_out / "runs").iterdir()
    assert len(pd.read_csv(run / "log.csv")) == 1
    assert (run / "predictions.png").exists()
    assert not (tried_out / "my.keras").exists()


def test_gradients_are_clipped_as_asked(tried_out, data, tmp_path):
    # So short that Adam's epsilon is longer: the step leads nowhere.
    words = ["--dry-run", "--epochs", 9, "--clip-norm", 1e-12]
    train(data, tmp_path, *words, "--out", "run").check_returncode()
    (before,) = (tried_out / "runs").iterdir()
    losses = [
        pd.read_csv(run / "log.csv")["val_loss"].item()
        for run in (before, tmp_path / "run")
    ]
    assert losses[0] != losses[1]


def test_several_classes_train_a_softmax(tmp_path):
    make_tree(tmp_path / "train", 6, classes=["road", "roof"])
    make_tree(tmp_path / "test", 2, seed=2, classes=["road", "roof"])
    result = train(tmp_path, tmp_path, "--epochs", 1, "--out", "run")
    assert result.returncode == 0, result.stderr
    assert "road IoU" in result.stdout
    contract = read_contract(tmp_path / "my.keras")
    assert contract.classes == ["road", "roof"]
    assert contract.scores["confusion"]["labels"] == [
        "background", "road", "roof",
    ]  # fmt: skip
    assert (tmp_path / "run" / "confusion.png").exists()
    assert "mean IoU over classes" in result.stdout
    model = keras.models.load_model(tmp_path / "my.keras")
    assert model.output_shape[-1] == 3


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a dry run says of 12 images in groups, and one without masks."""
    cwd = tmp_path_factory.mktemp("told")
    make_tree(cwd / "train", 13)
    shutil.rmtree(cwd / "train" / "Folder_13" / "masks")
    table = pd.DataFrame(
        {
            "name": [f"Folder_{k}" for k in range(1, 14)],
            "group": [*["a", "b", "c", "d"] * 3, "e"],
        }
    )
    table.to_csv(cwd / "split.csv", index=False)
    result = train(cwd, cwd, "--dry-run", "--validation", 0.2)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_groups_of_the_split_are_kept_together(told):
    assert "9 images to learn from, 3 to validate, 4 groups" in told


def test_unlabelled_folders_are_left_out_and_told(told):
    assert "12 images" in told
    assert "1 without masks/ left out" in told
    assert "test: 0 images, 0 instances" in told


def test_article_normalisation_has_no_centring_layer(article):
    model = keras.models.load_model(article[0] / "my.keras")
    kinds = {type(layer).__name__ for layer in model.layers}
    assert "Normalization" not in kinds


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nowhere"], ["nowhere", "found nothing"]),
        (["--size", 100], ["100", "multiple of 16", "96 or 112"]),
        (["--validation", 2], ["--validation", "0 to 1"]),
        (["--resume", "nowhere"], ["nowhere", "settings"]),
        (["--group", "["], ["[", "regular expression"]),
        (["--typo"], ["--typo"]),
    ],
)
def test_bad_options_are_told_in_one_line(data, tmp_path, options, words):
    place = [] if options == ["nowhere"] else [data]
    result = run_script(TRAIN, *place, *options, cwd=tmp_path)
    assert_refused(result, *words)
    assert list(tmp_path.glob("runs/*/unet.keras")) == []


def test_a_damaged_test_mask_is_told_before_training(tmp_path):
    make_tree(tmp_path / "train", 6)
    make_tree(tmp_path / "test", 2)
    bad = tmp_path / "test" / "Folder_2" / "masks" / "Folder_2_mask_1.png"
    bad.write_bytes(bad.read_bytes()[:40])
    result = train(tmp_path, tmp_path)
    assert_refused(result, bad.name)
    assert not (tmp_path / "runs").exists()


def test_a_used_run_directory_is_refused(data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    result = train(data, tmp_path, "--out", "run")
    assert_refused(result, "run", "exists", "another --out.")
    # It concerns --model, and would not help.
    assert "--overwrite" not in result.stderr
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_an_interrupted_run_in_the_way_may_be_gone_on_with(data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.json").write_text("{}")
    result = train(data, tmp_path, "--out", "run")
    assert_refused(result, "another --out, or go on with --resume run.")
    (tmp_path / "run" / "summary.json").write_text("{}")
    result = train(data, tmp_path, "--out", "run")
    assert_refused(result, "another --out.")


TRIED = [
    *["--padding", "reflect", "--dropout-kind", "spatial", "--contrast"],
    *["clahe", "--loss", "bce+dice", "--augment", "all", "--schedule"],
    *["cosine", "--warm-up", 1, "--class-weights", "balanced"],
]


@pytest.fixture(scope="module")
def tried(data, tmp_path_factory):
    """A directory with a model trained with many options at once."""
    cwd = tmp_path_factory.mktemp("tried")
    words = [*TRIED, "--epochs", 2, "--out", "run"]
    result = train(data, cwd, *words)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return cwd


def test_options_are_recorded_and_their_pictures_drawn(tried):
    contract = read_contract(tried / "my.keras")
    recorded = contract.training
    assert recorded.loss == "bce+dice"
    assert recorded.class_weights == ["balanced"]
    assert recorded.dropout_kind == "spatial"
    assert contract.preprocessing.contrast == "clahe"
    assert 0 < contract.best_threshold < 1
    assert set(contract.separation) <= {"building"}
    summary = json.loads((tried / "run" / "summary.json").read_text())
    one = contract.scores_at_best_threshold["classes"]["building"]
    assert summary["scores_at_best_threshold"]["classes"]["building"] == one
    assert summary["validation"]["images"] == 1
    assert summary["weights"] == 1_919
    assert (tried / "run" / "augmented.png").exists()
    log = pd.read_csv(tried / "run" / "log.csv")
    assert log["learning_rate"].tolist() == [0.0002, 0.0004]
    assert (log["seconds"] > 0).all()


def test_best_threshold_and_contrast_are_used_in_prediction(tried, data):
    result = run_script(
        "test/test.py", data / "test", "--model", "my.keras",
        "--threshold", "best", "--out", "masks", cwd=tried,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    contract = read_contract(tried / "my.keras")
    best = contract.best_threshold
    assert f"threshold {best:g}, chosen on" in result.stdout
    scores = json.loads((tried / "masks" / "scores.json").read_text())
    assert scores["threshold"] == best
    expected = contract.scores_at_best_threshold
    assert scores["classes"] == expected["classes"]


def test_a_model_is_where_another_training_starts(tried, data):
    start = ["--start-from", "my.keras"]
    result = train(
        data, tried, *start, "--freeze", "encoder", "--epochs", 1,
        "--learning-rate", 0, "--out", "second", "--model", "second.keras",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "weights to train" in result.stdout
    contract = read_contract(tried / "second.keras")
    assert contract.preprocessing.contrast == "clahe"
    assert contract.training.padding == "reflect"
    assert contract.started_from["training"]["epochs"] == 2
    assert str(tried) not in json.dumps(contract.as_dict())
    first, second = (
        keras.models.load_model(tried / name).get_weights()
        for name in ("my.keras", "second.keras")
    )
    # Without a learning rate they stay; the mean of what stays may round.
    pairs = zip(first, second, strict=True)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in pairs)


def test_a_start_that_does_not_fit_is_told(tried, data, tmp_path):
    start = ["--start-from", tried / "my.keras"]
    result = train(data, tmp_path, *start, "--encoder", "residual")
    assert_refused(result, "my.keras", "encoder plain", "residual")
    result = run_script(TRAIN, data, *start, "--size", 64, cwd=tmp_path)
    assert_refused(result, "my.keras", "size 32", "64", "--size")
    make_tree(tmp_path / "train", 6, classes=["road", "roof"])
    result = train(tmp_path, tmp_path, *start)
    assert_refused(result, "my.keras", "building", "road, roof")
    result = train(data, tmp_path, "--freeze", "encoder")
    assert_refused(result, "--freeze", "--start-from")


def test_settings_of_many_options_are_enough_to_begin_again(
    tried, data, tmp_path
):
    settings = json.loads((tried / "run" / "settings.json").read_text())
    (tmp_path / "run").mkdir()
    settings["model"] = str(tmp_path / "my.keras")
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings))
    run_script(TRAIN, "--resume", "run", cwd=tmp_path).check_returncode()
    first, second = (
        keras.models.load_model(place / "my.keras").get_weights()
        for place in (tried, tmp_path)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
