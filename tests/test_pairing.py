"""Images and annotations, paired once for every script."""

import json

import numpy as np
import pytest

from unet.annotations.pairing import ProblemKind, pair
from unet.files.errors import DataError
from unet.imagery.png import write_png

SQUARE = [[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]


@pytest.fixture
def place(tmp_path):
    """Images a, b and c; the annotations of a and b."""
    for name in "abc":
        add_image(tmp_path, f"{name}.png")
    for name in "ab":
        add_text(tmp_path, name)
    return tmp_path


def add_image(place, name):
    write_png(place / "images" / name, np.zeros((9, 9, 3), np.uint8))


def add_text(place, name, points=SQUARE):
    (place / "texts").mkdir(exist_ok=True)
    path = place / "texts" / f"{name}.txt"
    path.write_text(json.dumps(points))
    return path


def pair_in(place, *sources, **options):
    sources = sources or [place / "texts"]
    return pair(place / "images", sources, **options)


def test_every_image_is_paired_with_its_annotation_or_none(place):
    pairs, problems = pair_in(place)
    assert problems == []
    assert [known.name for known in pairs] == ["a", "b", "c"]
    a, _, c = pairs
    assert a.image == place / "images" / "a.png"
    assert a.source == place / "texts" / "a.txt"
    assert len(a.annotation.instances) == 1
    assert c.annotation is None


def test_problems_name_the_file_and_the_image(place):
    bad = add_text(place, "c", [[1, 2, 3]])
    nobody = add_text(place, "nobody", "no list")
    lost = add_text(place, "lost")
    (place / "images" / "a.tif").write_bytes(
        (place / "images" / "a.png").read_bytes()
    )
    twice = place / "whole" / "b.png"
    write_png(twice, np.ones((9, 9), bool))
    pairs, problems = pair_in(place, place / "texts", place / "whole")
    assert [known.name for known in pairs] == ["a", "b", "c"]
    assert pairs[2].annotation.instances == []  # not unlabelled
    assert {(p.kind, p.path, p.names) for p in problems} == {
        (ProblemKind.BAD_ANNOTATION, bad, ("c",)),
        (ProblemKind.BAD_ANNOTATION, nobody, ()),
        (ProblemKind.NO_IMAGE, lost, ("lost",)),
        (ProblemKind.SEVERAL_IMAGES, place / "images" / "a.tif", ("a",)),
        (ProblemKind.ANNOTATED_TWICE, twice, ("b",)),
    }
    for problem in problems:
        assert "\n" not in problem.sentence
        assert problem.sentence.endswith(".")


def test_all_images_that_are_not_there_are_one_problem(place):
    for number in range(7):
        add_text(place, f"lost_{number}")
    pairs, (problem,) = pair_in(place)
    assert len(pairs) == 3
    assert (problem.kind, problem.path) == ("no-image", place / "texts")
    assert len(problem.names) == 7
    assert "7 images (lost_0, lost_1, lost_2, lost_3, lost_4, ...)" in (
        problem.sentence
    )


def test_a_mask_is_left_to_the_caller_if_asked(place):
    mask = place / "whole" / "c.png"
    write_png(mask, np.ones((9, 9), bool))
    pairs, _ = pair_in(place, place / "whole", read_masks=False)
    assert (pairs[2].mask, pairs[2].annotation) == (mask, None)
    pairs, _ = pair_in(place, place / "whole")
    assert (pairs[2].mask, pairs[2].source) == (None, mask)


def test_the_only_image_takes_the_only_annotation(place):
    other = place / "other.txt"
    other.write_text(json.dumps(SQUARE))
    (only,), problems = pair(place / "images" / "c.png", [other])
    assert problems == []
    assert (only.name, only.source) == ("c", other)
    mask = place / "mask.png"
    write_png(mask, np.ones((9, 9), bool))
    (only,), problems = pair(
        place / "images" / "c.png", [mask], read_masks=False
    )
    assert (only.name, only.mask, problems) == ("c", mask, [])


def test_without_images_nothing_is_paired(tmp_path):
    (tmp_path / "images").mkdir()
    add_text(tmp_path, "a")
    with pytest.raises(DataError, match="images: expected images"):
        pair_in(tmp_path)
