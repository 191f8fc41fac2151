"""Pictures show what they say."""

import cv2
import numpy as np
import pandas as pd
import pytest

from conftest import make_tree
from unet.files.folders import find_samples
from unet.network.model import build_unet
from unet.pictures import figures, overlay
from unet.scoring.calibration import Reliability
from unet.training.augmentation import Augmentation

GREY = np.full((40, 40, 3), 90, np.uint8)


def square(top, left, side):
    ids = np.zeros((40, 40), np.uint8)
    ids[top : top + side, left : left + side] = 1
    return ids


def test_overlay_tints_inside_outlines_and_leaves_the_rest():
    picture = overlay.overlay(GREY, square(10, 10, 20))
    colour = overlay.colour_of(1)
    assert (picture[0, 0] == 90).all()
    assert (picture[10, 10] == colour).all()
    expected = np.rint(90 * 0.65 + colour * 0.35)
    assert (picture[20, 20] == expected).all()
    assert (GREY == 90).all()


def test_overlay_without_tint_draws_outlines_alone():
    picture = overlay.overlay(GREY, square(10, 10, 20), strength=0)
    assert (picture[10, 10] == overlay.colour_of(1)).all()
    assert (picture[20, 20] == 90).all()


def test_overlay_of_nothing_is_the_image():
    assert (overlay.overlay(GREY, np.zeros((40, 40), np.uint8)) == GREY).all()


def test_errors_have_their_colours():
    picture = overlay.errors(GREY, square(0, 0, 10), square(0, 5, 10))
    assert tuple(picture[0, 0]) == overlay.OUTCOMES[2]
    assert tuple(picture[0, 7]) == overlay.OUTCOMES[0]
    assert tuple(picture[0, 12]) == overlay.OUTCOMES[1]
    assert tuple(picture[30, 30]) == (30, 30, 30)


def test_one_class_is_white_and_several_are_colours():
    assert set(np.unique(overlay.in_colour(square(0, 0, 5)))) == {0, 255}
    two = square(0, 0, 5) + 2 * square(20, 20, 5)
    assert tuple(overlay.in_colour(two)[0, 0]) == tuple(overlay.colour_of(1))
    assert tuple(overlay.in_colour(two)[20, 20]) == tuple(overlay.colour_of(2))


def prediction(number, known=True, name="a_{}"):
    truth = square(5, 5, 10) if known else None
    name = name.format(number)
    return figures.Example(name, GREY, square(5, 8, 10), truth)


def all_figures(tmp_path):
    tree = make_tree(tmp_path / "tree", 3)
    log = pd.DataFrame(
        {"epoch": [0, 1], "loss": [1.0, 0.5], "val_loss": [2.0, 1.0]}
    )
    yield "samples", figures.sample_grid(find_samples(tree), ["building"])
    yield (
        "sheet",
        figures.contact_sheet([prediction(k, k % 2 == 0) for k in range(5)], 7),
    )
    yield "curves", figures.curves(log, ["loss"])
    counted, empty = Reliability(["building"]), Reliability(["building"])
    counted.add(square(5, 5, 10), np.full((40, 40, 1), 0.4, np.float32))
    sides = {"validation": counted, "test": empty}
    yield "reliability", figures.reliability(sides)
    model = build_unet((32, 32), filters=2, depth=2)
    yield "maps", figures.feature_maps(model, GREY[:32, :32], most=3)


@pytest.mark.filterwarnings("error::UserWarning:matplotlib")
def test_every_figure_is_written_and_shows_something(tmp_path):
    for name, figure in all_figures(tmp_path):
        path = tmp_path / f"{name}.png"
        figures.save_figure(figure, path)
        picture = cv2.imread(str(path))
        assert min(picture.shape[:2]) > 100
        assert picture.std() > 10


def test_contact_sheet_names_images_and_what_colours_mean():
    figure = figures.contact_sheet([prediction(1), prediction(2, False)], 9)
    texts = [text.get_text() for text in figure.findobj(match=_is_text)]
    for expected in ("a_1", "a_2", "unknown", "found", "missed", "invented"):
        assert expected in texts
    assert "2 of 9 images" in texts


def test_contact_sheet_of_unknown_truth_has_room_for_more_images():
    long = "a_very_long_name_of_an_image_from_a_tool"
    predictions = [prediction(number, False, long) for number in range(4)]
    figure = figures.contact_sheet(predictions, 4)
    assert len(figure.axes) == 8
    assert all(axis.images for axis in figure.axes)
    texts = [text.get_text() for text in figure.findobj(match=_is_text)]
    assert "a_very_long_name_of_an_im..." in texts
    assert "missed" not in texts


def test_augmented_grid_outlines_pairs_with_objects_and_their_versions():
    X = np.stack([GREY, GREY + 40, GREY + 80])
    Y = np.stack([square(0, 0, 0), square(0, 0, 9), square(5, 9, 20)])
    figure = figures.augmented_grid(
        X, Y, Augmentation("flips"), np.random.default_rng(0), versions=3
    )
    panels = [axis.images[0].get_array() for axis in figure.axes]
    assert len(panels) == 2 * 4
    for row, n in ((panels[:4], 1), (panels[4:], 2)):
        original = overlay.overlay(X[n], Y[n], strength=0)
        assert np.array_equal(row[0], original)
        outline = (original == overlay.colour_of(1)).all(axis=2).sum()
        for panel in row[1:]:
            drawn = (panel == overlay.colour_of(1)).all(axis=2)
            assert drawn.sum() == outline
            assert (panel[~drawn] == X[n, 0, 0]).all()
    assert any(not np.array_equal(panels[4], panel) for panel in panels[5:])


def test_augmented_grid_without_any_object_shows_the_images():
    empty = np.zeros((2, 40, 40), np.uint8)
    figure = figures.augmented_grid(
        np.stack([GREY, GREY]), empty, Augmentation("none"), None, rows=1
    )
    assert len(figure.axes) == 6


def _is_text(artist):
    return hasattr(artist, "get_text") and bool(artist.get_text())
