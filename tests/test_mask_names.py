"""Complete masks that are called after their images."""

import numpy as np
import pytest

from unet.annotations.mask_names import MaskName
from unet.annotations.pairing import ProblemKind, pair
from unet.annotations.rules import Rules
from unet.files.errors import DataError
from unet.files.folders import find_samples
from unet.imagery.mask_values import read_mask
from unet.imagery.png import write_png
from unet.inspection.listing import raw_items


def mask(number):
    """A mask that no other number has."""
    pixels = np.zeros((8, 9), bool)
    pixels[1:4, 1 : 2 + number] = True
    return pixels


def add(place, *names):
    """Images, or masks, each with another number of pixels."""
    for number, name in enumerate(names):
        write_png(place / f"{name}.png", mask(number))
    return place


@pytest.fixture
def images(tmp_path):
    for name in ("a", "a_1", "b"):
        write_png(tmp_path / "i" / f"{name}.png", np.zeros((8, 9, 3), np.uint8))
    return tmp_path / "i"


def told(pairs):
    """{image name: number of the mask's pixels, or None}."""
    return {
        known.name: known.annotation
        and int(known.annotation.instances[0].mask((8, 9)).sum())
        for known in pairs
    }


def rules_of(text):
    return Rules(mask_name=MaskName.parse(text))


@pytest.mark.parametrize(
    "called", ["{}_mask", "{}-label", "{} seg", "{}.gt", "label_{}", "mask-{}"]
)
def test_a_shared_prefix_or_suffix_is_found(images, tmp_path, called):
    names = [called.format(name) for name in ("a", "a_1", "b")]
    place = add(tmp_path / "m", *names)
    pairs, problems = pair(images, [place])
    assert problems == []
    assert told(pairs) == {"a": 3, "a_1": 6, "b": 9}
    named = called.replace("{}", "{name}")
    for known in pairs:
        assert known.annotation.repairs == {
            f"mask called {named} paired with the image {{name}}": 1
        }
    # As check.py and tile.py have them.
    pairs, _ = pair(images, [place], read_masks=False)
    assert [known.mask.stem for known in pairs] == names


def test_masks_beside_images_are_no_images(images, tmp_path):
    add(images, "a_mask", "a_1_mask")
    pairs, problems = pair(images, [images])
    assert problems == []
    assert told(pairs) == {"a": 3, "a_1": 6, "b": None}
    # Named one by one, as a shell does.
    pairs, _ = pair(images, sorted(images.glob("*_mask.png")))
    assert told(pairs) == {"a": 3, "a_1": 6, "b": None}
    items, findings = raw_items(images, [images])
    assert [item.name for item in items] == ["a", "a_1", "b"]
    assert findings == []


def test_masks_called_like_their_images_stay_theirs(images, tmp_path):
    place = add(tmp_path / "m", "a", "b", "b_old")
    pairs, (problem,) = pair(images, [place])
    assert told(pairs) == {"a": 3, "a_1": None, "b": 6}
    assert (problem.kind, problem.names) == (ProblemKind.NO_IMAGE, ("b_old",))
    assert not pairs[0].annotation.repairs


def test_masks_of_a_whole_project_beside_a_part_of_its_images(images, tmp_path):
    place = add(tmp_path / "m", "a_mask", "far_mask", "b_mask", "legend")
    pairs, (problem,) = pair(images, [place])
    assert told(pairs) == {"a": 3, "a_1": None, "b": 9}
    assert problem.names == ("far", "legend")


def test_without_a_sign_between_nothing_is_found(images, tmp_path):
    place = add(tmp_path / "m", "amask", "bmask")
    _, (problem,) = pair(images, [place])
    assert problem.names == ("amask", "bmask")
    rules = rules_of("{name}mask")
    assert told(pair(images, [place], rules=rules)[0])["b"] == 6


def test_a_mask_that_fits_two_images_is_refused(images, tmp_path):
    place = add(tmp_path / "m", "a_1_mask")
    with pytest.raises(
        DataError,
        match=r"a_1_mask\.png: .* a_1 by {name}_mask and a by {name}_1_mask\.",
    ):
        pair(images, [place])
    pairs, _ = pair(images, [place], rules=rules_of("{name}_mask"))
    assert told(pairs) == {"a": None, "a_1": 3, "b": None}
    pairs, _ = pair(images, [place], rules=rules_of("{name}_1_mask"))
    assert told(pairs) == {"a": 3, "a_1": None, "b": None}


@pytest.mark.parametrize(
    "names", [("a_mask", "b_label"), ("a_mask", "a_1_mask", "label_b")]
)
@pytest.mark.parametrize("beside", [False, True])
def test_masks_of_several_names_are_refused(images, tmp_path, names, beside):
    place = add(images if beside else tmp_path / "m", *names)
    with pytest.raises(DataError, match=r"all called {name}_mask, found"):
        pair(images, [place])
    pairs, problems = pair(images, [place], rules=rules_of("{name}_mask"))
    assert told(pairs)["a"] == 3
    assert problems == []


def test_photos_alone_are_no_masks(images):
    with pytest.raises(DataError, match="found the images themselves"):
        pair(images, [images])


def test_a_damaged_mask_is_that_of_its_image(images, tmp_path):
    place = add(tmp_path / "m", "a_mask", "a_1_mask")
    (place / "b_mask.png").write_bytes(b"no image")
    _, (problem,) = pair(images, [place])
    assert (problem.kind, problem.names) == (ProblemKind.BAD_ANNOTATION, ("b",))


def test_the_script_says_how_the_masks_are_called(
    images, tmp_path, script, capsys
):
    place = add(tmp_path / "m", "a_mask", "a_1_mask", "b_mask")
    script("polygon_to_mask", images, place, "--out", "tree")
    line = "repaired: mask called {name}_mask paired with the image {name}: 3"
    assert line in capsys.readouterr().out
    masks = [sample.masks["building"] for sample in find_samples("tree")]
    for number, (path,) in enumerate(masks):
        np.testing.assert_array_equal(read_mask(path), mask(number))
    add(place, "a_old", "b_old")
    options = ["--mask-name", "{name}_old", "--overwrite"]
    script("polygon_to_mask", images, place, "--out", "tree", *options)
    _, a_1, b = find_samples("tree")
    assert a_1.masks is None
    np.testing.assert_array_equal(read_mask(b.masks["building"][0]), mask(1))
    with pytest.raises(DataError, match=r"called {name}_new, found none"):
        script("polygon_to_mask", images, place, "--mask-name", "{name}_new")


def test_tiles_of_scenes_with_masks_beside_them(tmp_path, script):
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    whole = np.zeros((64, 64), bool)
    whole[5:20, 30:50] = True
    write_png(tmp_path / "s" / "north.png", scene)
    write_png(tmp_path / "s" / "label_north.png", whole)
    script("tile", "s", "s", "--size", 64, "--out", "tiles")
    (sample,) = find_samples("tiles")
    assert sample.name.startswith("north_r")
    np.testing.assert_array_equal(read_mask(sample.masks["building"][0]), whole)


@pytest.mark.parametrize(
    "text", ["mask", "{name}{name}", "m/{name}", "{name}_mask.png"]
)
def test_bad_mask_names_are_refused(text):
    with pytest.raises(DataError, match=r"expected {name} once"):
        MaskName.parse(text)
