"""CVAT for images, XML 1.1."""

import numpy as np
import pytest

from unet.annotations.reading import read_file
from unet.annotations.rules import Limits, Rules
from unet.files.errors import DataError


def document(*shapes, name="dir/b.jpg"):
    inside = "\n".join(shapes)
    return (
        '<?xml version="1.0" encoding="utf-8"?><annotations>'
        "<version>1.1</version><meta><task><name>t</name></task></meta>"
        f'<image id="0" name="{name}" width="8" height="6">{inside}</image>'
        '<image id="1" name="c.jpg" width="8" height="6"></image>'
        "</annotations>"
    )


def read(tmp_path, text, **options):
    path = tmp_path / "a.xml"
    path.write_text(text)
    return read_file(path, rules=Rules(**options))


def told(annotation):
    return [
        (round(one.geometry.area, 6), one.label) for one in annotation.instances
    ]


SQUARE = (
    '<polygon label="roof" points="1,1;5,1;5.0,5;1,5" z_order="0">{}</polygon>'
)


def test_polygons_boxes_and_ellipses_in_the_order_of_their_layers(tmp_path):
    text = document(
        '<box label=" tree " xtl="1" ytl="2" xbr="4" ybr="4" z_order="1"/>',
        SQUARE.format(""),
        '<ellipse label="roof" cx="4" cy="3" rx="2" ry="1" z_order="2"/>',
        '<polyline label="road" points="1,1;2,2"/>',
        '<points label="road" points="1,1"/>',
        '<cuboid label="car" xtl1="1"/>',
        '<polygon label="roof" points="1,1;2,2"/>',
        '<tag label="sunny"/>',
    )
    found = read(tmp_path, text)
    circle = 64 * np.sin(np.pi / 64)
    assert told(found["b"]) == [
        (16, "roof"),
        (6, "tree"),
        (round(2 * circle, 6), "roof"),
    ]
    assert found["b"].repairs == {
        "line or point left out": 2,
        "shape of unknown kind left out": 1,
        "ring of fewer than three points left out": 1,
    }
    assert found["b"].size == (6, 8)
    assert told(found["c"]) == []


def test_turned_box_turns_around_its_middle(tmp_path):
    box = '<box label="roof" xtl="1" ytl="2" xbr="5" ybr="4" rotation="90"/>'
    (one,) = read(tmp_path, document(box))["b"].instances
    assert np.allclose(one.geometry.bounds, (2, 1, 4, 5))


def test_mask_runs_go_along_the_rows_of_its_window(tmp_path):
    mask = (
        '<mask label="roof" rle="1, 2, 2, 1" left="4" top="1" width="3" '
        'height="2"/>'
    )
    (one,) = read(tmp_path, document(mask))["b"].instances
    expected = np.zeros((6, 8), bool)
    expected[1, 5:7] = expected[2, 6] = True
    np.testing.assert_array_equal(one.mask((6, 8)), expected)
    with pytest.raises(DataError, match="at most 5 pixels"):
        read(tmp_path, document(mask), limits=Limits(pixels=5))


def test_attribute_that_holds_the_class(tmp_path):
    text = document(SQUARE.format('<attribute name="kind">flat</attribute>'))
    assert told(read(tmp_path, text, attribute="kind")["b"]) == [(16, "flat")]


MASK = '<mask rle="{}" left="0" top="0" width="2" height="2"/>'
BOMB = """<?xml version="1.0"?><!DOCTYPE annotations [
<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotations><image id="0" name="&b;" width="8" height="6"/></annotations>"""
FILE = """<?xml version="1.0"?><!DOCTYPE annotations [
<!ENTITY a SYSTEM "file:///etc/hostname">]>
<annotations><image id="0" name="&a;" width="8" height="6"/></annotations>"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an XML file"),
        ("<annotations><image>", "an XML file"),
        ("<annotated><object/></annotated>", "a known format"),
        (BOMB, "without entities"),
        (FILE, "without entities"),
        (document(name="../../b.jpg"), "leads out"),
        (document(name="c.png"), "two images called c"),
        ("<annotations><track/></annotations>", "CVAT for video"),
        (document('<polygon points="1,1;2;3,3"/>'), "cvat annotations"),
        (document('<polygon points="1,1;nan,2;3,3"/>'), "finite"),
        (document('<box xtl="1"/>'), "cvat annotations"),
        (document(MASK.format("1,2")), "fill a mask of 2 x 2 .*found 3"),
        (document(MASK.format("-1,5")), "fill a mask"),
        ('<annotations><image name="b" width="x" height="1"/></annotations>',
         "cvat annotations"),
    ],
)  # fmt: skip
def test_bad_xml_is_refused(tmp_path, text, words):
    with pytest.raises(DataError, match=rf"a\.xml: .*{words}") as refusal:
        read(tmp_path, text, directories=(tmp_path,))
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500
