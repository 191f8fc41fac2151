"""test.py: images and a model to masks, as its user runs it."""

import datetime
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import CODE, assert_refused, make_tree, run_script, small_network
from unet.files.folders import find_samples
from unet.geometry.masks import instances
from unet.imagery.mask_values import read_mask
from unet.imagery.png import write_png
from unet.imagery.reading import read_image
from unet.network.contract import Contract
from unet.network.model import load, save
from unet.prediction.photos import probabilities_of_images
from unet.prediction.strip import Settings
from unet.terminal.cli import SHIPPED

TEST = "test/test.py"


def make_model(path, classes=("building",)):
    model = small_network(classes)
    save(model, path, Contract(list(classes), [32, 32]))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a model, a tree, and photos of several sizes."""
    root = tmp_path_factory.mktemp("place")
    make_model(root / "m.keras")
    make_tree(root / "tree", 3, size=40)
    rng = np.random.default_rng(0)
    for name, shape in {"wide": (20, 70, 3), "small": (9, 5, 3)}.items():
        write_png(
            root / "photos" / f"{name}.png",
            rng.integers(0, 256, shape).astype(np.uint8),
        )
    return root


def predict_in(place, *arguments):
    return run_script(TEST, *arguments, "--model", "m.keras", cwd=place)


@pytest.mark.parametrize("words", [(), ("--flips",)], ids=["once", "flips"])
def test_masks_are_the_thresholded_network_at_the_images_size(place, words):
    out = "_".join(["photos_out", *words])
    result = predict_in(place, "photos", "--out", out, *words)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    model = load(place / "m.keras")
    for name in ("wide", "small"):
        image = read_image(place / "photos" / f"{name}.png")
        mask = cv2.imread(
            str(place / out / f"{name}.png"), cv2.IMREAD_UNCHANGED
        )
        (probability,) = probabilities_of_images(
            model, [image], Settings(flips=bool(words))
        )
        expected = np.where(probability[..., 0] >= 0.5, 255, 0)
        assert mask.shape == image.shape[:2]
        assert (mask != expected).mean() < 0.001
        overlay = read_image(place / out / f"{name}_overlay.png")
        assert overlay.shape == image.shape
    assert (place / out / "contact_sheet.png").exists()
    assert not (place / out / "scores.json").exists()


def test_scores_are_those_of_the_written_masks(place):
    result = predict_in(place, "tree", "--out", "tree_out")
    assert result.returncode == 0, result.stderr
    scores = json.loads((place / "tree_out" / "scores.json").read_text())
    tp = fp = fn = 0
    for sample in find_samples(place / "tree"):
        predicted = read_mask(place / "tree_out" / f"{sample.name}.png")
        truth = np.zeros((40, 40), bool)
        for path in sample.masks["building"]:
            truth |= read_mask(path)
        tp += int((truth & predicted).sum())
        fp += int((~truth & predicted).sum())
        fn += int((truth & ~predicted).sum())
    one = scores["classes"]["building"]
    assert (one["pixels"]["tp"], one["pixels"]["fp"]) == (tp, fp)
    assert one["iou"] == pytest.approx(tp / (tp + fp + fn))
    assert f"{one['iou']:.4f}" in result.stdout
    assert len(scores["per_image"]) == 3


def test_threshold_moves_the_masks(place):
    for threshold, value in ((0, 255), (1, 0)):
        out = f"threshold_{threshold}"
        predict_in(
            place, "photos", "--threshold", threshold, "--out", out
        ).check_returncode()
        mask = read_image(place / out / "wide.png")
        assert (mask == value).all()


def test_one_line_says_which_model_it_is(place):
    result = predict_in(place, "photos", "--out", "said")
    today = datetime.date.today()
    first, *others = result.stdout.splitlines()
    assert first == f"model: m.keras (building), trained on data, {today}"
    assert not any("model:" in line for line in others)
    shipped = run_script(
        TEST, "photos", "--model", SHIPPED, "--out", "shipped", cwd=place
    )
    assert "buildings.keras (Buildings from above), trained on 361 " in (
        shipped.stdout
    )


def test_a_model_without_a_best_threshold_is_told(place):
    result = predict_in(
        place, "photos", "--threshold", "best", "--out", "no_best"
    )
    assert_refused(result, "m.keras", "no best threshold", "--threshold")
    assert not (place / "no_best").exists()


def test_a_sample_directory_and_files_may_be_mixed(place):
    result = predict_in(
        place, "tree/Folder_2", "photos/wide.png", "--out", "mixed"
    )
    assert result.returncode == 0, result.stderr
    assert (place / "mixed" / "Folder_2.png").exists()
    assert (place / "mixed" / "wide.png").exists()


def test_several_classes_get_a_mask_each(place):
    make_model(place / "two.keras", ["road", "roof"])
    result = run_script(
        TEST, "photos", "--model", "two.keras", "--out", "two", cwd=place
    )
    assert result.returncode == 0, result.stderr
    road, roof = (
        read_mask(place / "two" / f"wide_{name}.png")
        for name in ("road", "roof")
    )
    assert not (road & roof).any()


def pooled_iou(masks, folders):
    """IoU of masks with the instances in folders of the same names."""
    both = either = 0
    for sample in find_samples(folders):
        mask = read_mask(masks / f"{sample.name}.png")
        read = np.zeros(mask.shape, bool)
        for path in (sample.masks or {}).get("building", []):
            read |= read_mask(path)
        both += (read & mask).sum()
        either += (read | mask).sum()
    return both / either


# One file an image, one file for all; test_writers.py has all the formats.
@pytest.mark.parametrize(
    ("kind", "tolerance", "least"), [("article", 0, 1), ("coco", 0.5, 0.995)]
)
def test_predictions_come_back_as_annotations(place, kind, tolerance, least):
    """The loop: what is predicted is read again as training data."""
    out = f"loop_{kind}"
    result = predict_in(
        place, "photos", "--annotations", kind, "--tolerance", tolerance,
        "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert f"{out}/annotations" in result.stdout
    run_script(
        "util/polygon_to_mask.py", "photos", f"{out}/annotations",
        "--out", f"back_{kind}", cwd=place,
    ).check_returncode()  # fmt: skip
    assert pooled_iou(place / out, place / f"back_{kind}") >= least


def test_annotations_of_a_tree_find_its_images(place):
    predict_in(
        place, "tree", "--annotations", "labelme", "--out", "deep/er"
    ).check_returncode()
    files = sorted((place / "deep" / "er" / "annotations").iterdir())
    samples = find_samples(place / "tree")
    assert [file.stem for file in files] == [one.name for one in samples]
    for file, sample in zip(files, samples, strict=True):
        named = json.loads(file.read_text())["imagePath"]
        assert not Path(named).is_absolute()
        assert (file.parent / named).resolve() == sample.image.resolve()


def test_annotations_have_classes_and_scores(place):
    make_model(place / "three.keras", ["road", "roof"])
    arguments = ["photos", "--model", "three.keras"]
    result = run_script(
        TEST, *arguments, "--annotations", "coco", "--out", "three", cwd=place
    )
    assert result.returncode == 0, result.stderr
    data = json.loads(
        (place / "three" / "annotations" / "annotations.json").read_text()
    )
    names = {one["id"]: one["name"] for one in data["categories"]}
    assert list(names.values()) == ["road", "roof"]
    assert data["annotations"]
    model = load(place / "three.keras")
    image = read_image(place / "photos" / "wide.png")
    (probability,) = probabilities_of_images(model, [image])
    (wide,) = (one for one in data["images"] if one["file_name"] == "wide.png")
    for name in ("road", "roof"):
        labels, count = instances(
            read_mask(place / "three" / f"wide_{name}.png")
        )
        own = [
            one["score"]
            for one in data["annotations"]
            if one["image_id"] == wide["id"]
            and names[one["category_id"]] == name
        ]
        channel = probability[..., 1 + ["road", "roof"].index(name)]
        expected = [channel[labels == k].mean() for k in range(1, count + 1)]
        assert own == pytest.approx(expected, abs=0.001)
    result = run_script(
        TEST, *arguments, "--annotations", "article", "--out", "no", cwd=place
    )
    assert_refused(result, "one class", "road, roof", "labelme")
    assert not (place / "no").exists()


def test_options_reach_the_polygons(place):
    predict_in(
        place, "photos", "--annotations", "article", "--threshold", "0",
        "--smallest", "46", "--square", "--out", "options",
    ).check_returncode()  # fmt: skip
    files = place / "options" / "annotations"
    assert len(json.loads((files / "wide.txt").read_text())) == 5
    assert json.loads((files / "small.txt").read_text()) == []  # 9 x 5 pixels


def test_existing_annotations_are_not_replaced_unless_told(place):
    mine = place / "kept" / "annotations" / "wide.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    arguments = ["photos", "--annotations", "article", "--out", "kept"]
    result = predict_in(place, *arguments)
    assert_refused(result, "wide.txt", "exists", "--overwrite")
    assert mine.read_text() == "mine"
    assert [path.name for path in mine.parent.iterdir()] == ["wide.txt"]


def test_existing_results_are_not_replaced_unless_told(place):
    out = place / "again"
    out.mkdir()
    (out / "wide.png").write_text("mine")
    result = predict_in(place, "photos", "--out", "again")
    assert_refused(result, "wide.png", "exists", "--overwrite")
    assert (out / "wide.png").read_text() == "mine"
    assert len(list(out.iterdir())) == 1
    result = predict_in(place, "photos", "--out", "again", "--overwrite")
    assert result.returncode == 0, result.stderr
    assert read_mask(out / "wide.png").shape == (20, 70)


def test_a_model_for_other_classes_is_refused(place):
    make_model(place / "road.keras", ["road"])
    result = run_script(
        TEST, "tree", "--model", "road.keras", "--out", "no", cwd=place
    )
    assert_refused(result, "road.keras", "made for road", "building")
    assert not (place / "no").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing_here"], ["nothing_here"]),
        (["nothing.png"], ["nothing.png"]),
        (["photos/wide.png", "photos/wide.png"], ["wide.png", "same name"]),
        (["--threshold", "2"], ["--threshold", "0 to 1"]),
    ],
)
def test_bad_arguments_are_told_in_one_line(place, arguments, words):
    assert_refused(predict_in(place, *arguments, "--out", "no"), *words)
    assert not (place / "no").exists()


def test_a_bar_is_there_before_keras(place):
    pty = pytest.importorskip("pty")  # not on every system
    terminal, end = pty.openpty()
    pytest.importorskip("termios").tcsetwinsize(end, (24, 80))
    words = [sys.executable, "-X", "importtime", CODE / TEST, "photos"]
    more = ["--model", "m.keras", "--out", "bar"]
    with subprocess.Popen(
        [*words, *more], cwd=place, stderr=end, stdout=subprocess.DEVNULL
    ):
        os.close(end)
        shown = b""
        with suppress(OSError):  # Linux' end of file
            while part := os.read(terminal, 2**16):
                shown += part
    os.close(terminal)
    begin = shown.index(b"Predicting:   0%")
    assert begin < shown.index(b"unet.network.backend")
    assert b"2/2" in shown


def test_no_model_is_told(place):
    (place / "text.keras").write_text("not a model")
    for name, word in (("none.keras", "nothing"), ("text.keras", "another")):
        result = run_script(TEST, "photos", "--model", name, cwd=place)
        assert_refused(result, name, word)


def test_a_damaged_image_is_named_and_leaves_no_half_result(place, tmp_path):
    shutil.copy(place / "m.keras", tmp_path)
    data = (place / "photos" / "wide.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    result = predict_in(tmp_path, "cut.png", "--out", "out")
    assert_refused(result, "cut.png", "truncated")
    assert not (tmp_path / "out" / "cut.png").exists()


def test_names_that_would_collide_are_refused(place, tmp_path):
    shutil.copy(place / "m.keras", tmp_path)
    image = np.zeros((4, 4, 3), np.uint8)
    write_png(tmp_path / "in" / "a.png", image)
    write_png(tmp_path / "in" / "a_overlay.png", image)
    result = predict_in(tmp_path, "in", "--out", "out")
    assert_refused(result, "name")


def test_inputs_are_not_touched(place):
    before = {
        path: path.read_bytes()
        for path in (place / "tree").rglob("*")
        if path.is_file()
    }
    predict_in(place, "tree", "--out", "untouched").check_returncode()
    after = {
        path: path.read_bytes()
        for path in (place / "tree").rglob("*")
        if path.is_file()
    }
    assert before == after


def touching_roofs(root):
    """A model that says what it sees, and a photo of two bright roofs."""
    from unet.network.backend import keras

    image = keras.Input((64, 64, 3))
    red = keras.layers.Conv2D(1, 1, use_bias=False)
    model = keras.Model(image, red(image))
    red.set_weights([np.reshape([1 / 255, 0, 0], (1, 1, 3, 1))])
    save(
        model,
        root / "m.keras",
        Contract(["building"], [64, 64], separation={"building": 2}),
    )
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[12:52, 4:60] = 250
    pixels[12:52, 31:33] = 140  # a seam between them
    masks = np.zeros((2, 64, 64), np.uint8)
    masks[0, 12:52, 4:32] = masks[1, 12:52, 32:60] = 255
    write_png(root / "tree" / "a" / "images" / "a.png", pixels)
    for number, mask in enumerate(masks):
        write_png(root / "tree" / "a" / "masks" / f"{number}.png", mask)


def test_roofs_that_touch_come_apart_and_their_mask_does_not(tmp_path):
    touching_roofs(tmp_path)
    masks, overlays = set(), set()
    for words, polygons, f1 in (
        ((), 2, 1),
        (("--separate", "3"), 2, 1),
        (("--separate", "off"), 1, 2 / 3),
    ):
        out = tmp_path / f"out{len(words)}{words[-1:]}"
        result = predict_in(
            tmp_path, "tree", "--annotations", "geojson", *words, "--out", out
        )
        assert result.returncode == 0, result.stderr
        text = (out / "annotations" / "a.geojson").read_text()
        assert len(json.loads(text)["features"]) == polygons
        scores = json.loads((out / "scores.json").read_text())
        assert scores["classes"]["building"]["object_f1"] == pytest.approx(f1)
        assert scores["classes"]["building"]["object_f1_components"] == 1
        masks.add((out / "a.png").read_bytes())
        overlays.add((out / "a_overlay.png").read_bytes())
    assert len(masks) == 1
    assert len(overlays) == 2  # the seam is drawn
    result = predict_in(tmp_path, "tree", "--separate", "-1", "--out", "b")
    assert_refused(result, "--separate")
