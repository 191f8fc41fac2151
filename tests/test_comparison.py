"""Variants from the command line, rows of runs, the table, the plots."""

import argparse

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from conftest import make_tree
from unet.files.errors import DataError
from unet.files.folders import digest_of_files, find_samples
from unet.pictures.figures import save_figure
from unet.terminal import training_options
from unet.training import comparison, comparison_plots
from unet.training.comparison import DEFAULT, Variant


def as_dict(varied, grid=False):
    return {v.name: v.words for v in comparison.variants(varied, grid)}


def test_values_are_tried_one_at_a_time_after_the_default():
    assert list(
        as_dict(["activation=relu, selu", "--batch-norm=on,off"]).items()
    ) == [
        (DEFAULT, ()),
        ("activation=relu", ("--activation", "relu")),
        ("activation=selu", ("--activation", "selu")),
        ("batch-norm=on", ("--batch-norm",)),
        ("batch-norm=off", ("--no-batch-norm",)),
    ]


def test_spaces_divide_the_words_of_a_value():
    assert as_dict(["dropout=0,0 0.1 0.2"]) == {
        DEFAULT: (),
        "dropout=0": ("--dropout", "0"),
        "dropout=0 0.1 0.2": ("--dropout", "0", "0.1", "0.2"),
    }
    assert as_dict(["start-from='my model.keras'"]) == {
        DEFAULT: (),
        "start-from='my model.keras'": ("--start-from", "my model.keras"),
    }


def test_grid_has_every_combination():
    made = as_dict(["loss=bce,focal", "padding=same,reflect"], grid=True)
    assert list(made) == [
        DEFAULT,
        "loss=bce, padding=same",
        "loss=bce, padding=reflect",
        "loss=focal, padding=same",
        "loss=focal, padding=reflect",
    ]
    assert made["loss=focal, padding=reflect"] == (
        *("--loss", "focal"),
        *("--padding", "reflect"),
    )


def test_without_anything_varied_the_default_remains():
    assert as_dict([]) == as_dict([], grid=True) == {DEFAULT: ()}


def test_the_same_value_twice_is_one_variant():
    assert list(as_dict(["depth=3,3", "depth=3"])) == [DEFAULT, "depth=3"]


@pytest.mark.parametrize(
    "text", ["activation", "activation=", "=relu", "depth=,", "a='b", "--=1"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(DataError, match=f"--vary {text}"):
        comparison.variants([text])


def one_class(iou, **others):
    return {
        "iou": iou,
        "iou_interval": None if iou is None else [iou - 0.1, iou + 0.1],
        "boundary_iou": iou and iou / 2,
        "object_f1": iou and iou / 3,
        "object_f1_interval": iou and [iou / 6, iou / 2],
        **others,
    }


def summary(scores, best=None, threshold=None):
    def all_scores(values):
        return {
            "classes": {k: one_class(v) for k, v in values.items()},
            "mean_iou": 0.7,
            "cross_entropy": 0.25,
        }

    return {
        "scores": all_scores(scores),
        "scores_at_best_threshold": best and all_scores(best),
        "best_threshold": threshold,
        "validation": all_scores(scores),
        "epochs": 3,
        "best_epoch": 2,
        "weights": 1234,
        "images": {"training": 9, "validation": 1, "test": 2},
    }


def log(name, values):
    return pd.DataFrame(
        {
            name: [0.9] * len(values),
            f"val_{name}": values,
            "val_mean_iou": [0.99] * len(values),
            "seconds": [9.0, *[2.0] * (len(values) - 1)],
        }
    )


def test_row_of_a_run():
    row = comparison.row_of(
        summary({"building": 0.6}, {"building": 0.65}, 0.42),
        log("building_iou", [0.2, 0.51236, 0.4]),
        0.5,
    )
    assert row == {
        "iou": pytest.approx(0.6),
        "iou_low": pytest.approx(0.5),
        "iou_high": pytest.approx(0.7),
        "threshold": 0.42,
        "iou_at_threshold": pytest.approx(0.65),
        "mean_iou": 0.7,
        "cross_entropy": 0.25,
        "boundary_iou": pytest.approx(0.3),
        "object_f1": pytest.approx(0.2),
        "object_f1_low": pytest.approx(0.1),
        "object_f1_high": pytest.approx(0.3),
        "validation_iou": pytest.approx(0.6),
        "epochs": 3,
        "best_epoch": 2,
        "level": 0.5,
        "epochs_to_level": 2,
        "seconds_an_epoch": 2,
        "weights": 1234,
        "images": 9,
        "curve": "0.2000 0.5124 0.4000",
    }


@pytest.mark.parametrize(
    ("level", "epochs"), [(0, 1), (0.2, 1), (0.3, 3), (0.41, None)]
)
def test_epochs_until_a_level_is_reached(level, epochs):
    assert comparison.epochs_to("0.2000 0.1000 0.4000", level) == epochs


def test_several_classes_are_averaged_and_absent_ones_left_out():
    row = comparison.row_of(
        summary({"road": 0.2, "roof": 0.6, "tree": None}),
        log("foreground_iou", [0.1, 0.1]),
        0.5,
    )
    assert row["iou"] == pytest.approx(0.4)
    assert (row["iou_low"], row["iou_high"]) == pytest.approx((0.3, 0.5))
    assert row["boundary_iou"] == pytest.approx(0.2)
    assert row["iou_at_threshold"] is None
    assert row["epochs_to_level"] is None


def test_test_images_with_nothing_to_find_give_no_number():
    row = comparison.row_of(
        summary({"building": None}), log("building_iou", [0.1]), 0.5
    )
    assert np.isnan(row["iou"])
    assert np.isnan(row["iou_low"])


def runs_of(ious, seconds=2.0, level=0.5):
    """A made runs.csv from {(variant, seed): IoU}."""
    return pd.DataFrame(
        {
            "variant": name,
            "seed": seed,
            "options": "" if name == DEFAULT else f"--{name}",
            "data": "abc",
            "iou": iou,
            "iou_low": iou - 0.1,
            "iou_high": iou + 0.1,
            "iou_at_threshold": iou + 0.05 if iou > 0.5 else None,
            "mean_iou": iou,
            "cross_entropy": 0.3,
            "boundary_iou": iou / 2,
            "object_f1": iou / 3,
            "object_f1_low": iou / 4,
            "object_f1_high": iou / 2,
            "validation_iou": iou,
            "level": level,
            "epochs_to_level": 4.0 if iou > 0.5 else None,
            "seconds_an_epoch": seconds,
            "weights": 1941105,
            "images": 700
            if "images" not in name
            else int(name.split("images=")[1]),
            "curve": f"0.1000 {iou:.4f}" + " 0.2000" * seed,
        }
        for (name, seed), iou in ious.items()
    )


def test_table_of_one_seed():
    table = comparison.table(
        runs_of({(DEFAULT, 0): 0.6, ("loss=focal", 0): 0.4})
    )
    assert table.to_numpy().tolist() == [
        [DEFAULT, "1", "0.600", "0.500 to 0.700", "", "0.650", "0.600",
         "0.300", "0.300", "0.200", "0.150 to 0.300", "0.600", "4.0", "2.0",
         "1,941,105"],
        ["loss=focal", "1", "0.400", "0.300 to 0.500", "-0.200", "none",
         "0.400", "0.300", "0.200", "0.133", "0.100 to 0.200", "0.400",
         "never", "2.0", "1,941,105"],
    ]  # fmt: skip
    assert "epochs to 0.5" in table.columns


def test_table_of_several_seeds_compares_equal_seeds():
    table = comparison.table(
        runs_of(
            {
                (DEFAULT, 0): 0.6,
                (DEFAULT, 1): 0.4,
                ("loss=focal", 1): 0.55,
                ("loss=focal", 2): 0.9,
                ("depth=3", 7): 0.5,
            }
        )
    ).set_index("variant")
    default = table.loc[DEFAULT]
    assert default["seeds"] == "2"
    assert default["IoU"] == "0.500 ± 0.141"
    assert default["IoU at best threshold"] == "0.650"
    assert default["epochs to 0.5"] == "4.0 (1 of 2)"
    # Seed 1 alone was run with both.
    assert table.loc["loss=focal", "against the default"] == "+0.150"
    assert table.loc["depth=3", "against the default"] == ""


def test_runs_that_were_made_before_there_was_an_object_score_stay(tmp_path):
    runs = runs_of({(DEFAULT, 0): 0.6})
    runs = runs.drop(columns=[c for c in runs if c.startswith("object_")])
    runs.to_csv(tmp_path / "runs.csv", index=False)
    read = comparison.read_runs(tmp_path / "runs.csv", 0.5)
    assert comparison.table(read)["object F1"].tolist() == ["none"]


def test_markdown_has_a_line_for_each_variant():
    table = comparison.table(runs_of({(DEFAULT, 0): 0.6, ("a=1", 0): 0.4}))
    lines = comparison.markdown(table).splitlines()
    assert len(lines) == 4
    assert lines[1] == "|" + " --- |" * 15
    assert {line.count("|") for line in lines} == {16}


def test_terminal_gets_aligned_lines():
    runs = runs_of({(DEFAULT, 0): 0.6, ("activation=relu", 0): 0.4})
    assert comparison.text(comparison.table(runs)).splitlines() == [
        "variant          seeds  IoU    95 %            against the default",
        "default          1      0.600  0.500 to 0.700",
        "activation=relu  1      0.400  0.300 to 0.500  -0.200",
    ]


MADE = [Variant(DEFAULT, ()), *comparison.variants(["images=32,700,720"])[1:]]


def test_jobs_go_seed_by_seed_and_leave_out_what_is_finished():
    jobs = comparison.jobs_left(MADE[:2], [0, 1], pd.DataFrame())
    assert jobs == [(v, seed) for seed in (0, 1) for v in MADE[:2]]
    runs = runs_of({(DEFAULT, 0): 0.6, (DEFAULT, 1): 0.6})
    jobs = comparison.jobs_left(MADE[:2], [0, 1], runs)
    assert jobs == [(MADE[1], 0), (MADE[1], 1)]


def test_more_images_than_there_are_are_left_out():
    runs = runs_of({(DEFAULT, 0): 0.6})
    assert comparison.too_many_images(MADE, pd.DataFrame()) == []
    assert comparison.too_many_images(MADE, runs) == [MADE[3]]
    assert (MADE[3], 0) not in comparison.jobs_left(MADE, [0], runs)
    fewer = comparison.fewer_images(
        comparison.variants(["depth=3"]), [700, 720]
    )
    absent = comparison.too_many_images(fewer, runs)
    assert [v.name for v in absent] == ["images=720", "depth=3, images=720"]


IOUS = {
    (DEFAULT, 0): 0.6,
    (DEFAULT, 1): 0.5,
    ("loss=focal", 0): 0.4,
    ("loss=bce+dice", 0): 0.7,
    ("depth=3", 0): 0.5,
    ("images=32", 0): 0.3,
    ("images=64", 0): 0.35,
}


def test_score_plot_has_every_run(tmp_path):
    figure = comparison_plots.score_plot(runs_of(IOUS))
    (axis,) = figure.axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == list(dict.fromkeys(name for name, _ in IOUS))
    dots = [line for line in axis.lines if line.get_marker() == "."]
    assert sorted(x for line in dots for x in line.get_xdata()) == sorted(
        IOUS.values()
    )
    save_figure(figure, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").stat().st_size > 1000


def test_plots_wrap_long_names():
    name = "augment=geometry, learning-rate=0.0003, dropout-kind=none"
    runs = runs_of({(DEFAULT, 0): 0.6, (name, 0): 0.7})
    (axis,) = comparison_plots.score_plot(runs).axes
    shown = axis.get_yticklabels()[1].get_text()
    assert shown.replace("\n", " ") == name
    assert max(map(len, shown.split("\n"))) <= 34
    assert "learning-rate" in shown
    (axis,) = comparison_plots.curve_plot(runs).axes
    assert axis.get_legend().get_texts()[1].get_text() == shown


def test_long_names_of_a_long_list_cover_nothing():
    long = "loss=bce+dice, learning-rate=0.0003, dropout-kind=none, depth=3"
    names = [DEFAULT, *(f"{long}, filters={number}" for number in range(8))]
    runs = runs_of({(name, 0): 0.6 for name in names})
    figure = comparison_plots.score_plot(runs)
    figure.draw_without_rendering()
    (axis,) = figure.axes
    boxes = [label.get_window_extent() for label in axis.get_yticklabels()]
    tops, bottoms = [b.y1 for b in boxes], [b.y0 for b in boxes]
    assert all(np.array(tops[1:]) < bottoms[:-1])  # the default is above
    figure = comparison_plots.curve_plot(runs)
    figure.draw_without_rendering()
    (axis,) = figure.axes
    legend = axis.get_legend().get_window_extent()
    assert not legend.overlaps(axis.get_window_extent())
    assert figure.bbox.y0 <= legend.y0


def test_curve_plot_has_a_panel_for_each_option(tmp_path):
    figure = comparison_plots.curve_plot(runs_of(IOUS))
    shown = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title() for axis in shown] == ["loss", "depth", "images"]
    labels = [text.get_text() for text in shown[0].get_legend().get_texts()]
    assert labels == [DEFAULT, "loss=focal", "loss=bce+dice"]
    save_figure(figure, tmp_path / "curves.png")


def test_curves_of_many_values_can_be_told_apart():
    names = [DEFAULT, *(f"loss={number}" for number in range(15))]
    (axis,) = comparison_plots.curve_plot(
        runs_of({(n, 0): 0.6 for n in names})
    ).axes
    looks = [(to_rgb(v.get_color()), v.get_linestyle()) for v in axis.lines]
    assert len(set(looks)) == len(names)
    grey = [colour for colour, _ in looks if len(set(colour)) == 1]
    assert grey == [to_rgb("grey")]


def test_curve_plot_of_the_default_alone():
    (axis,) = comparison_plots.curve_plot(runs_of({(DEFAULT, 0): 0.6})).axes
    assert len(axis.lines) == 1


def test_mean_curve_goes_as_far_as_the_longest():
    epochs, values = comparison_plots.mean_curve(runs_of(IOUS), DEFAULT)
    assert epochs.tolist() == [1, 2, 3]
    assert values == pytest.approx([0.1, 0.55, 0.2])


def test_learning_plot_has_the_curve_and_the_articles_numbers(tmp_path):
    figure = comparison_plots.learning_plot(runs_of(IOUS))
    (axis,) = figure.axes
    means, dots = axis.lines[:2]
    assert sorted(dots.get_xdata()) == [32, 64, 700, 700]
    assert list(means.get_xdata()) == [32, 64, 700]
    assert means.get_ydata() == pytest.approx([0.3, 0.35, 0.55])
    assert [line.get_xdata()[0] for line in axis.lines[2:]] == [128, 720]
    texts = [text.get_text() for text in axis.texts]
    assert texts == ["the article's 128 ", "the article's 720 "]
    save_figure(figure, tmp_path / "learning_curve.png")


def test_each_combination_has_a_learning_curve_of_its_own():
    varied = comparison.variants(["loss=focal", "depth=3"], grid=True)
    fewer = comparison.fewer_images(varied, [32, 64])
    names = [variant.name for variant in fewer]
    both = "loss=focal, depth=3"
    assert names == [
        "images=32",
        "images=64",
        f"{both}, images=32",
        f"{both}, images=64",
    ]
    assert fewer[-1].words == (
        "--loss", "focal", "--depth", "3", "--images", "64",
    )  # fmt: skip
    assert {comparison.without_images(name) for name in names} == {
        DEFAULT,
        both,
    }
    ious = {(variant.name, 0): 0.5 for variant in [*varied, *fewer]}
    (axis,) = comparison_plots.learning_plot(runs_of(ious)).axes
    legend = [text.get_text() for text in axis.get_legend().get_texts()]
    assert legend == [DEFAULT, both]
    assert [list(line.get_xdata()) for line in axis.lines[:4:2]] == [
        [32, 64, 700],
        [32, 64, 700],
    ]


def test_curves_leave_out_what_has_all_images_alone():
    ious = {(DEFAULT, 0): 0.5, ("images=32", 0): 0.4, ("loss=focal", 0): 0.3}
    (axis,) = comparison_plots.learning_plot(runs_of(ious)).axes
    assert axis.get_legend() is None
    means, dots = axis.lines[:2]
    assert list(means.get_ydata()) == [0.4, 0.5]
    assert len(dots.get_xdata()) == 2


def test_runs_are_read_as_they_were_written_but_for_the_level(tmp_path):
    path = tmp_path / "runs.csv"
    assert comparison.read_runs(path, 0.5).empty
    runs_of(IOUS).to_csv(path, index=False)
    again = comparison.read_runs(path, 0.5)
    assert again.drop(columns="epochs_to_level").equals(
        runs_of(IOUS).drop(columns="epochs_to_level")
    )
    assert again["options"][0] == ""
    other = comparison.read_runs(path, 0.55).set_index(["variant", "seed"])
    assert (other["level"] == 0.55).all()
    assert other["epochs_to_level"].dropna().to_dict() == {
        (DEFAULT, 0): 2,
        ("loss=bce+dice", 0): 2,
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n", r"found no column curve, data, iou.*another --out"),
        ("", r"expected runs.csv"),
        ("a\n1,2,3\n4\n1,2,3,4,5\n", r"expected runs.csv"),
    ],
)
def test_other_files_are_refused(tmp_path, content, words):
    path = tmp_path / "runs.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=words) as error:
        comparison.read_runs(path, 0.5)
    assert str(path) in str(error.value)


def test_runs_that_cannot_be_compared_are_refused():
    runs = runs_of(IOUS)
    comparison.check_runs(pd.DataFrame(), "runs.csv", "abc", "")
    comparison.check_runs(runs, "runs.csv", "abc", "")
    with pytest.raises(DataError, match=r"runs.csv: holds runs on other data"):
        comparison.check_runs(runs, "runs.csv", "abd", "")
    with pytest.raises(DataError, match=r"options '' .*now.*'--epochs 2'"):
        comparison.check_runs(runs, "runs.csv", "abc", "--epochs 2")


def test_digest_tells_other_data_and_not_other_places(tmp_path):
    def digest(name, count, seed):
        tree = make_tree(tmp_path / name, count, seed=seed)
        return digest_of_files([find_samples(tree)])

    first = digest("a", 3, 1)
    assert len(first) == 16
    assert digest("b", 3, 1) == first
    assert digest("c", 3, 2) != first
    assert digest("d", 4, 1) != first


def parser():
    made = argparse.ArgumentParser()
    training_options.add(made)
    return made


# A value that is not the default, for every option without choices.
WORDS = {
    "size": ["64"],
    "validation": ["0.25"],
    "images": ["7"],
    "bands": ["4,3,2,1"],
    "group": ["(.+) x"],
    "filters": ["5"],
    "depth": ["3"],
    "dropout": ["0", "0.25"],
    "batch_norm": [],
    "objects": [],
    "start_from": ["my model.keras"],
    "epochs": ["12"],
    "batch_size": ["3"],
    "encoder": ["residual"],
    "encoder_weights": ["random"],
    "learning_rate": ["1e-05"],
    "warm_up": ["2"],
    "clip_norm": ["2.5"],
    "weight_decay": ["0.004"],
    "class_weights": ["0.5", "2"],
    "mixed_precision": [],
    "patience": ["9"],
    "seed": ["4"],
}
OPTIONS = {a.dest: a for a in parser()._actions if a.dest != "help"}


@pytest.mark.parametrize("name", OPTIONS)
def test_words_of_gives_back_what_was_asked_for(name):
    action = OPTIONS[name]
    if name in WORDS:
        values = WORDS[name]
    else:
        values = [v for v in action.choices if v != action.default][-1:]
    words = [action.option_strings[0], *values]
    args = parser().parse_args(words)
    assert getattr(args, name) != action.default
    again = training_options.words_of(args, parser())
    assert again[0] == words[0]
    assert len(again) == len(words)
    assert parser().parse_args(again) == args


def test_words_of_defaults_are_none_and_of_all_options_all():
    assert training_options.words_of(parser().parse_args([]), parser()) == []
    words = [
        word
        for name, values in WORDS.items()
        for word in [OPTIONS[name].option_strings[0], *values]
    ]
    args = parser().parse_args(words)
    assert (
        parser().parse_args(training_options.words_of(args, parser())) == args
    )


def test_a_switch_that_a_recipe_sets_can_be_set_back():
    made = parser()
    words = ["--recipe", "article", "--weights", "mean", "--epochs", "30"]
    args = training_options.read(made, words)
    words = training_options.words_of(args, made)
    assert words == ["--weights", "mean", "--recipe", "article"]
    assert training_options.read(parser(), words) == args
