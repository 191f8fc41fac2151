"""Masks of all classes in one file, and back again."""

import numpy as np
import pytest
from PIL import Image

from conftest import assert_refused, run_script, small_network
from test_results import UTM, place, predict, read  # noqa: F401 (a fixture)
from test_scenes import noise, write_scene
from unet.annotations.colours import parse_colours, read_complete_mask
from unet.annotations.rules import Rules
from unet.files.errors import DataError
from unet.files.folders import IGNORE, find_samples
from unet.imagery.mask_values import read_class_ids, read_mask
from unet.imagery.png import write_png
from unet.imagery.reading import read_image
from unet.network.contract import Contract
from unet.network.model import save
from unet.pictures.overlay import COLOURS, OUTCOMES
from unet.prediction.palette import palette_of

TABLE = "6EC1E4=road,3C1098=roof"


def test_colours_are_those_of_the_overlay_unless_a_table_names_others():
    palette = palette_of(["road", "roof"])
    assert palette.dtype == np.uint8
    assert palette.tolist() == [[0, 0, 0], *COLOURS[:2].tolist()]
    text = "3C1098=roof,FF0000=roof,FEDD3A=,6EC1E4=road,9B9B9B=ignore"
    palette = palette_of(["road", "roof"], parse_colours(text))
    assert palette.tolist() == [
        [0xFE, 0xDD, 0x3A], [0x6E, 0xC1, 0xE4], [0x3C, 0x10, 0x98],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "text", "words"),
    [
        (["road", "roof"], "FF0000=road", "found none for roof.*COLOUR=roof"),
        (["road"], "0=ignore,1=road", "black to ignore.*FFFFFF="),
        (list("abcdefg"), None, "7 classes.*Give a table"),
    ],
)
def test_a_palette_that_could_not_be_read_again_is_refused(
    classes, text, words
):
    with pytest.raises(DataError, match=words):
        palette_of(classes, text and parse_colours(text))


@pytest.mark.parametrize("table", [None, TABLE, "classes.csv"])
def test_the_converter_reads_the_classes_back(tmp_path, table):
    rng = np.random.default_rng(0)
    for name, shape in {"wide": (20, 70, 3), "small": (9, 5, 3)}.items():
        image = rng.integers(0, 256, shape).astype(np.uint8)
        write_png(tmp_path / "photos" / f"{name}.png", image)
    classes = ["road", "roof"]
    model = small_network(classes)
    save(model, tmp_path / "m.keras", Contract(classes, [32, 32]))
    rows = TABLE.replace(",", "\n").replace("=", ",")
    (tmp_path / "classes.csv").write_text(f"colour,class\n{rows}\n")
    words = ["--colours", table] if table else []
    result = run_script(
        "test/test.py", "photos", "--model", "m.keras", "--palette", *words,
        "--out", "out", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (line,) = (s for s in result.stdout.splitlines() if "--colours" in s)
    told = line.split("'")[1]
    if table:
        assert told == f"000000=,{TABLE}"
    with Image.open(tmp_path / "out" / "palette" / "wide.png") as picture:
        assert picture.mode == "P"
        assert set(np.unique(picture)) == {0, 1, 2}
    result = run_script(
        "util/polygon_to_mask.py", "photos", "out/palette", "--colours", told,
        "--classes", "road,roof", "--out", "back", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    for sample in find_samples(tmp_path / "back"):
        masks = [
            read_mask(tmp_path / "out" / f"{sample.name}_{name}.png")
            for name in classes
        ]
        ids = read_class_ids(sample, classes, masks[0].shape)
        for number, mask in enumerate(masks, start=1):
            assert np.array_equal(ids == number, mask)


def test_a_scene_keeps_its_place_and_what_has_no_data(place, tmp_path):  # noqa: F811
    image = noise(600, 90)
    image[image == 0] = 1
    image[:40, :30] = 0
    path = write_scene(tmp_path / "a.tif", image, nodata=0, **UTM)
    colours = parse_colours(TABLE)
    out = tmp_path / "out"
    _, (one,) = predict(place, path, out, "two", palette=True, colours=colours)
    ids, profile, overviews = read(out / "palette" / "a.tif")
    known = ids != 255
    assert known.sum() == 600 * 90 - 1200
    assert np.array_equal(ids[known], one.ids[known])
    assert profile["nodata"] == 255
    assert (profile["crs"], profile["transform"]) == tuple(UTM.values())
    assert overviews == [2]
    back = read_complete_mask(
        out / "palette" / "a.tif", None, Rules(colours=colours)
    )
    labels = {}
    for one_class in back["a"].instances:
        labels[one_class.label] = one_class.mask(ids.shape)
    assert np.array_equal(labels["road"], ids == 1)
    assert np.array_equal(labels["roof"], ids == 2)
    assert np.array_equal(labels[IGNORE], ~known)
    # As the truth of the same scene it says that all of it is right.
    judged = tmp_path / "judged"
    how = {"colours": colours, "truth": out / "palette" / "a.tif"}
    predict(place, path, judged, "two", **how)
    errors = read_image(judged / "a_errors.png")[known].reshape(-1, 3)
    for colour in OUTCOMES[1:]:
        assert not (errors == colour).all(axis=-1).any()
    assert {p.name for p in out.iterdir()} == {
        "a_road.tif", "a_roof.tif", "a_overlay.png", "a_uncertain.png",
        "palette",
    }  # fmt: skip


def test_colours_are_for_palettes(tmp_path):
    result = run_script("test/test.py", "--colours", TABLE, cwd=tmp_path)
    assert_refused(result, "--colours", "--palette")
    result = run_script(
        "test/test.py", "--palette", "--colours", "FF0000=road", cwd=tmp_path
    )
    assert_refused(result, "building", "COLOUR=building")
