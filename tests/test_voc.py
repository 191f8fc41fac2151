"""Pascal VOC's XML."""

import pytest

from unet.annotations.reading import read_file
from unet.annotations.rules import Rules
from unet.files.errors import DataError

SIZE = "<size><width>8</width><height>6</height><depth>3</depth></size>"
PART = "<part><name>door</name><bndbox><xmin>2</xmin></bndbox></part>"


def box(left, top, right, bottom, name="roof", more=""):
    """An object with its sides in labelImg's order."""
    return (
        f"<object><name>{name}</name><pose>Left</pose><truncated>0</truncated>"
        f"<difficult>0</difficult><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>{more}</object>"
    )


def read(tmp_path, *objects, file="b.jpg", size=SIZE, **options):
    path = tmp_path / "a.xml"
    path.write_text(
        "<annotation verified='yes'><folder>images</folder>"
        f"<filename>{file}</filename><path>/home/x/{file}</path>"
        f"<source><database>Unknown</database></source>{size}"
        f"<segmented>0</segmented>{''.join(objects)}</annotation>"
    )
    return read_file(path, rules=Rules(**options))


def test_pixels_are_counted_from_1_and_a_box_holds_its_last_one(tmp_path):
    found = read(tmp_path, box(1, 1, 8, 6, " big "), box(2, 3, 2, 3, more=PART))
    (whole, pixel) = found["b"].instances
    assert whole.geometry.bounds == (0, 0, 8, 6)
    assert pixel.geometry.bounds == (1, 2, 2, 3)
    assert [one.label for one in found["b"].instances] == ["big", "roof"]
    assert pixel.mask((6, 8)).sum() == 1
    assert found["b"].size == (6, 8)
    assert found["b"].file == "b.jpg"
    assert found["b"].repairs == {"box used, there is no polygon": 2}


def test_boxes_from_0_of_fractions_and_with_swapped_sides(tmp_path):
    found = read(tmp_path, box(0, 0, 4, 3), box(5.5, 6, 2.25, 2))
    first, second = found["b"].instances
    assert first.geometry.bounds == (0, 0, 4, 3)
    assert second.geometry.bounds == (1.25, 1, 5.5, 6)


def test_another_element_may_hold_the_class(tmp_path):
    (one,) = read(tmp_path, box(1, 1, 8, 6), attribute="pose")["b"].instances
    assert one.label == "Left"


def test_the_file_is_called_like_its_image_where_it_does_not_say(tmp_path):
    found = read(tmp_path, file="", size="<size><width>0</width></size>")
    assert list(found) == ["a"]
    assert found["a"].size is None
    assert found["a"].instances == []


@pytest.mark.parametrize(
    ("item", "file", "words"),
    [
        ("<object><name>x</name></object>", "b.png", r"object 1 without"),
        (box("x", 1, 2, 3), "b.png", "voc annotations"),
        (box("nan", 1, 2, 3), "b.png", "voc annotations"),
        (box(1e9, 1, 2, 3), "b.png", "finite"),
        ("", "../../b.png", "leads out"),
    ],
)
def test_bad_files_are_refused(tmp_path, item, file, words):
    with pytest.raises(DataError, match=rf"a\.xml: .*{words}") as refusal:
        read(tmp_path, item, file=file, directories=(tmp_path,))
    assert "\n" not in str(refusal.value)
