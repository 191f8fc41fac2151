"""Complete masks: greys, palettes, colours, and what they mean."""

import numpy as np
import pytest
from PIL import Image

from conftest import assert_refused, contents, run_script
from unet.annotations.colours import parse_colours, read_complete_mask
from unet.annotations.rules import Rules
from unet.files.errors import DataError
from unet.imagery.mask_values import read_mask
from unet.imagery.png import write_png

RED, BLUE, GREY = (255, 0, 0), (60, 16, 152), (155, 155, 155)
IDS = np.array([[0, 0, 1, 1], [2, 2, 1, 1], [2, 2, 3, 0]], np.uint8)
PALETTE = np.array([(0, 0, 0), RED, BLUE, (224, 224, 192)], np.uint8)


def read(path, **options):
    """{class: bool mask}, in the order read."""
    (annotation,) = read_complete_mask(path, path, Rules(**options)).values()
    assert annotation.size == IDS.shape
    return {one.label: one.mask(IDS.shape) for one in annotation.instances}


def check(found, expected):
    assert list(found) == list(expected)
    for label, ids in expected.items():
        np.testing.assert_array_equal(found[label], np.isin(IDS, ids))


def coloured(path, colours=PALETTE):
    write_png(path, np.array(colours, np.uint8)[IDS])
    return path


def test_each_colour_is_a_class_named_by_itself(tmp_path):
    found = read(coloured(tmp_path / "a.png"))
    check(found, {"#3C1098": 2, "#E0E0C0": 3, "#FF0000": 1})


def test_colour_table_names_orders_and_makes_background(tmp_path):
    path = coloured(tmp_path / "a.png", [(0, 0, 0), RED, BLUE, GREY])
    colours = parse_colours("3c1098=roof, #FF0000 = road ,155=")
    check(read(path, colours=colours), {"roof": 2, "road": 1})


def test_two_colours_may_be_one_class(tmp_path):
    path = coloured(tmp_path / "a.png", [(0, 0, 0), RED, BLUE, GREY])
    colours = parse_colours("3C1098=roof,FF0000=roof,9B9B9B=background")
    (annotation,) = read_complete_mask(
        path, path, Rules(colours=colours)
    ).values()
    assert [one.label for one in annotation.instances] == ["roof", "roof"]


def test_palette_of_pascal_voc_has_a_border_that_is_nobodys(tmp_path):
    picture = Image.fromarray(IDS, mode="P")
    picture.putpalette(PALETTE.ravel().tolist())
    picture.save(tmp_path / "a.png")
    expected = {"ignore": 3, "#3C1098": 2, "#FF0000": 1}
    check(read(tmp_path / "a.png"), expected)
    picture.putpalette([n for v in range(4) for n in (v, v, v)])
    picture.save(tmp_path / "a.png")
    names = {"#010101": 1, "#020202": 2, "#030303": 3}
    check(read(tmp_path / "a.png"), names)


def test_class_numbers_are_named_by_the_table(tmp_path):
    write_png(tmp_path / "a.png", IDS)
    colours = parse_colours("2=roof,1=road,3=")
    check(read(tmp_path / "a.png", colours=colours), {"roof": 2, "road": 1})
    with pytest.raises(DataError, match=r"a\.png: .*1 \(3\).*Add them"):
        read(tmp_path / "a.png", colours=parse_colours("2=roof,1=road"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_mask_needs_a_threshold(tmp_path, dtype):
    most = 1 if dtype is np.float32 else np.iinfo(dtype).max
    greys = (np.array([0, 0.3, 0.5, 1]) * most).astype(dtype)
    greys[2] += dtype(dtype is np.uint8)  # 127 is just below one half
    path = tmp_path / "a.tif"
    Image.fromarray(greys[IDS]).save(path)
    with pytest.raises(DataError, match=r"--threshold 0\.5.*--colours 1=road"):
        read(path)
    if dtype is not np.uint16:
        check(read(path, threshold=0.5), {None: [2, 3]})
    check(read(path, threshold=0.2), {None: [1, 2, 3]})


def test_threshold_leaves_a_mask_of_0_and_1_alone(tmp_path):
    write_png(tmp_path / "a.png", (IDS == 1).astype(np.uint8))
    check(read(tmp_path / "a.png", threshold=0.5), {None: 1})
    write_png(tmp_path / "a.png", (IDS == 1).astype(np.uint8) * 90)
    check(read(tmp_path / "a.png", threshold=0.5), {})


def test_photo_is_no_mask(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.png"
    write_png(path, rng.integers(0, 255, (30, 30, 3), np.uint8))
    with pytest.raises(DataError, match=r"at most 64 colours, found \d{3} \("):
        read_complete_mask(path, path, Rules())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "class,colour\nroof,#3C1098\nroad,ff0000\nnothing,155\n"),
        ("t.csv", 'name,rgb\nroof,60 16 152\nroad,"(255, 0, 0)"\n-,155\n'),
        ("t.csv", "R,G,B,label\n60,16,152,roof\n255,0,0,road\n155,155,155,n\n"),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nroof:60,16,152::\n"
            "road:255,0,0::\nbackground:155,155,155::\n",
        ),
    ],
)
def test_colour_tables(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    colours = parse_colours(str(tmp_path / name))
    assert list(colours) == [0x3C1098, 0xFF0000, 0x9B9B9B]
    assert list(colours.values())[:2] == ["roof", "road"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3C1098=roof,road", "COLOUR=CLASS"),
        ("3C10=roof", "#3C1098, 60 16 152"),
        ("256=roof", "up to 255"),
        ("12 12=roof", "up to 255"),
        ("none.csv", "none.csv"),
        ("none.txt", "none.txt"),
    ],
)
def test_bad_colours_are_refused(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        parse_colours(text)


def test_colour_table_without_colours_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("class,size\nroof,4\n")
    with pytest.raises(DataError, match=r"t\.csv: .*'colour'.*class, size"):
        parse_colours(str(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_text("class,r,g,b\n")
    with pytest.raises(DataError, match=r"t\.csv: .*the heading alone"):
        parse_colours(str(tmp_path / "t.csv"))
    (tmp_path / "t.txt").write_text("roof\n")
    with pytest.raises(DataError, match=r"t\.txt: .*LABEL:R,G,B"):
        parse_colours(str(tmp_path / "t.txt"))


def add_image(root):
    image = np.zeros((*IDS.shape, 3), np.uint8)
    write_png(root / "images" / "a.png", image)


def convert(root, *options):
    return run_script(
        "util/polygon_to_mask.py", "images", "whole", "--out", "tree",
        *options, cwd=root,
    )  # fmt: skip


def test_colours_become_folders_in_the_order_of_the_table(tmp_path):
    write_png(
        tmp_path / "images" / "a.png", np.zeros((*IDS.shape, 3), np.uint8)
    )
    coloured(tmp_path / "whole" / "a.png", [(0, 0, 0), RED, BLUE, GREY])
    result = convert(tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[2:] == [
        "  classes: #3C1098 (1), #9B9B9B (1), #FF0000 (1)",
        "  to name the colours: --colours 3C1098=NAME,9B9B9B=NAME,FF0000=NAME",
    ]
    table = "FF0000=wood,3C1098=roof,9B9B9B="
    result = convert(tmp_path, "--colours", table, "--overwrite")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[2:] == ["  classes: wood (1), roof (1)"]
    tree = tmp_path / "tree"
    assert sorted(contents(tree)) == [
        "a/images/a.png",
        "a/masks/roof/a_mask_1.png",
        "a/masks/wood/a_mask_2.png",
        "classes.txt",
    ]
    assert (tree / "classes.txt").read_text() == "wood\nroof\n"
    mask = read_mask(tree / "a" / "masks" / "roof" / "a_mask_1.png")
    np.testing.assert_array_equal(mask, IDS == 2)


def test_components_divide_a_complete_mask(tmp_path):
    mask = np.zeros((9, 9), bool)
    mask[0, 0] = mask[1, 1] = mask[5:8, 2:4] = True
    write_png(tmp_path / "images" / "a.png", np.zeros((9, 9, 3), np.uint8))
    write_png(tmp_path / "whole" / "a.png", mask)
    assert "1 images, 1 inst" in convert(tmp_path).stdout
    result = convert(tmp_path, "--components", "--overwrite")
    assert "1 images, 2 inst" in result.stdout
    place = tmp_path / "tree" / "a" / "masks"
    first, second = (read_mask(place / f"a_mask_{n}.png") for n in (1, 2))
    assert np.argwhere(first).tolist() == [[0, 0], [1, 1]]
    np.testing.assert_array_equal(first | second, mask)


def test_classes_that_are_nowhere_are_told(tmp_path):
    write_png(
        tmp_path / "images" / "a.png", np.zeros((*IDS.shape, 3), np.uint8)
    )
    coloured(tmp_path / "whole" / "a.png", [(0, 0, 0), RED, BLUE, GREY])
    options = ["--colours", "FF0000=wood,3C1098=roof,9B9B9B=road"]
    result = convert(tmp_path, *options, "--classes", "road,boat,roof")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[2:] == [
        "  classes: road (1), roof (1)",
        "  classes left out: wood (1)",
        "  classes that no annotation has: boat",
    ]
    text = (tmp_path / "tree" / "classes.txt").read_text()
    assert text == "road\nroof\n"
    result = convert(tmp_path, *options, "--classes", "boat", "--overwrite")
    assert_refused(result, "--classes boat", "road (1), roof (1), wood (1)")


def test_bands_of_an_image_of_many_are_chosen(tmp_path):
    import rasterio

    bands = np.arange(5 * 12, dtype=np.uint8).reshape(5, 3, 4)
    path = tmp_path / "images" / "a.tif"
    path.parent.mkdir()
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=3, count=5, dtype="uint8"
    ) as file:
        file.write(bands)
    write_png(tmp_path / "whole" / "a.png", IDS == 1)
    result = convert(tmp_path)
    assert result.returncode == 0, result.stderr
    with rasterio.open(tmp_path / "tree/a/images/a.tif") as file:
        np.testing.assert_array_equal(file.read(), bands)
    result = convert(tmp_path, "--bands", "4,2,1", "--overwrite")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "tree" / "a" / "images" / "a.png") as file:
        found = np.moveaxis(np.array(file), 2, 0)
    np.testing.assert_array_equal(found, bands[[3, 1, 0]])
    for wrong in ("6,2,1", "0,1,2", "red"):
        result = convert(tmp_path, "--bands", wrong, "--overwrite")
        assert_refused(result, "--bands")


def test_images_of_too_many_pixels_are_refused(tmp_path):
    write_png(
        tmp_path / "images" / "a.png", np.zeros((*IDS.shape, 3), np.uint8)
    )
    write_png(tmp_path / "whole" / "a.png", IDS == 1)
    result = convert(tmp_path, "--max-pixels", "11")
    assert_refused(result, "a.png", "at most 11 pixels", "4 x 3")
