"""Which of several wishes counts."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from conftest import CODE
from unet.files.errors import DataError
from unet.imagery.contrast import CONTRASTS
from unet.network.model import build_unet
from unet.terminal import cli, recipes, runs, training_options
from unet.training.augmentation import LEVELS


def new_parser():
    parser = cli.new_parser("The result is a test.", [])
    training_options.add(parser)
    return parser


def read(*words):
    parser = new_parser()
    return training_options.read(parser, [str(word) for word in words])


def options_by_group():
    """Options below each title of --help, in order."""
    groups = {}
    for line in new_parser().format_help().splitlines():
        if line.endswith(":") and not line.startswith(" "):
            title = line.removesuffix(":")
        elif line.startswith("  -"):
            groups.setdefault(title, []).append(
                re.findall(r"--[\w-]+", line)[0]
            )
    return groups


def test_options_offer_what_the_library_has():
    # Written down twice, because the modules are slow to import.
    choices = {action.dest: action.choices for action in new_parser()._actions}
    assert choices["contrast"] == list(CONTRASTS)
    assert choices["augment"] == list(LEVELS)


def test_help_begins_with_what_most_need_and_ends_with_what_few_do():
    groups = options_by_group()
    del groups["options"]  # --help itself
    assert next(iter(groups)) == "most people need"
    assert groups["most people need"] == [
        *["--size", "--epochs", "--batch-size", "--augment", "--recipe"],
        "--start-from",
    ]
    assert list(groups)[-1] == "tried, and of little help"
    assert groups["tried, and of little help"] == [
        *["--padding", "--class-weights", "--weight-decay", "--warm-up"],
    ]


def test_help_says_which_choices_were_of_little_help():
    text = " ".join(new_parser().format_help().split())
    for choice in ("stretch", "plateau", "focal"):
        assert f"{choice}, which was of little help" in text
    script = (CODE / "train" / "train_unet.py").read_text()
    to_try = script[script.index("## Things to try") :]
    for words in (
        *["--padding", "--class-weights", "--weight-decay", "--warm-up"],
        *["contrast stretch", "schedule plateau", "loss focal"],
    ):
        assert words not in to_try


def test_help_texts_begin_with_a_noun_or_a_verb():
    for action in new_parser()._actions:
        assert not re.match(r"(of|the|in|on|with)\b", action.help), action.help


def test_the_articles_recipe_is_whole_and_can_be_changed():
    others = {"start_from", "freeze", "seed", "recipe", "images"}
    names = set(vars(read())) - others
    assert names == set(recipes.ARTICLE)
    found = vars(read("--recipe", "article"))
    assert {name: found[name] for name in names} == recipes.ARTICLE
    changed = read("--recipe", "article", "--weights", "mean", "--batch-norm")
    assert changed.weights == "mean"
    assert changed.batch_norm
    assert changed.normalisation == "article"


def test_defaults_differ_from_the_article_where_we_say_so():
    given = vars(read())
    different = {k for k, v in recipes.ARTICLE.items() if given[k] != v}
    assert different == {
        "normalisation",
        "weights",
        "group",
        "augment",
        "dropout_kind",
        "batch_size",
        "learning_rate",
        "clip_norm",
        "schedule",
        "patience",
    }


@pytest.mark.parametrize("recipe", ["best", "scratch"])
def test_the_recipes_change_defaults_and_can_be_changed(recipe):
    found = vars(read("--recipe", recipe))
    default = vars(read())
    options = recipes.RECIPES[recipe]
    assert found.items() >= options.items()
    for name in default.keys() - options.keys() - {"recipe"}:
        assert found[name] == default[name]
    assert not read("--recipe", recipe, "--no-batch-norm").batch_norm


@pytest.fixture
def model(tmp_path):
    """A model of before there was a choice of padding."""
    trained = {**recipes.ARTICLE, "size": 64, "dropout": [0.2]}
    del trained["padding"], trained["contrast"], trained["dropout_kind"]
    path = tmp_path / "m.keras"
    build_unet((64, 64), filters=2, depth=1).save(path)
    contract = {"format": 1, "classes": ["building"], "training": trained}
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("contract.json", json.dumps(contract))
    return path


def test_a_model_to_start_from_brings_its_network(model):
    args = read("--start-from", model, "--epochs", 3)
    assert (args.size, args.dropout, args.padding) == (64, [0.2], "same")
    assert args.normalisation == "article"
    assert (args.epochs, args.weights) == (3, "mean")
    assert read("--start-from", model, "--size", 64).size == 64


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--size", 32], "has size 64, asked for was 32"),
        (["--dropout", 0.1, 0.3], "dropout 0.2, asked for was 0.1 0.3"),
        (["--padding", "reflect"], "padding same.*Leave --padding out"),
    ],
)
def test_another_network_is_refused(model, words, told):
    with pytest.raises(DataError, match=told):
        read("--start-from", model, *words)


def test_a_training_on_other_classes_is_refused(model):
    training_options.check_start(None, ["road"])
    training_options.check_start(model, ["building"])
    with pytest.raises(DataError, match=r"made for building.*have road, roof"):
        training_options.check_start(model, ["road", "roof"])


def test_settings_tell_the_choices_and_no_places():
    args = read("--group", "/secret/groups.csv", "--seed", 7)
    args.data, args.model = "/secret/data", "/secret/m.keras"
    settings = training_options.settings_of(args)
    assert (settings.seed, settings.loss) == (7, "bce")
    assert "secret" not in str(settings)


def resumed(tmp_path, text):
    """The options of a run whose settings.json holds a text."""
    (tmp_path / "settings.json").write_text(text)
    args = read()
    args.model, args.overwrite = tmp_path / "m.keras", False
    args.resume = tmp_path
    return runs.resumed(args)


def test_a_run_is_resumed_with_the_options_it_had(tmp_path):
    values = {"epochs": 7, "dropout": [0.5], "start_from": "a.keras",
              "batch_norm": True, "model": "b.keras", "overwrite": True,
              "class_weights": ["balanced"], "images": None}  # fmt: skip
    args = vars(resumed(tmp_path, json.dumps(values)))
    paths = {name: Path(values[name]) for name in ("start_from", "model")}
    assert args.items() >= {**values, **paths}.items()


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "3", "{", "\x00", "[" * 10**5, '{"moon": 1}'),
        *('{"epochs": "x"}', '{"epochs": null}', '{"epochs": true}'),
        *('{"epochs": NaN}', '{"epochs": -1}', '{"augment": "odd"}'),
        *('{"dropout": []}', '{"dropout": {"a": 1}}', '{"model": 3}'),
        *('{"seed": "--epochs"}', '{"overwrite": "yes"}'),
    ],
)
def test_odd_settings_of_a_run_are_told(tmp_path, text):
    told = r"settings.json: expected the settings of an interrupted run"
    with pytest.raises(DataError, match=told):
        resumed(tmp_path, text)
