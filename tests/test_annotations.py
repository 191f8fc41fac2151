"""Annotations as people have them: the article's text, complete masks."""

import json
import re

import numpy as np
import pytest
import shapely

from unet.annotations.annotation import Annotation, image_name
from unet.annotations.article import (
    parse_article_text,
    read_article_text,
    split_rings,
)
from unet.annotations.images import find_images, image_of
from unet.files.errors import DataError
from unet.geometry.instances import Instance

# The article's own sample holds two rings of these areas and a stray point.
BIG = [[10, 10], [50, 10], [50, 40], [44, 40], [44, 41], [10, 41]]  # 1234 px²
SMALL = [[60, 5], [88, 5], [88, 26], [60, 26]]  # 588 px²
SQUARE = [[1, 1], [5, 1], [5, 5], [1, 5]]
STRAY = [70, 70]
TEXT = json.dumps([*SQUARE, SQUARE[0]])


def closed(ring):
    return [*ring, ring[0]]


def areas(instances):
    return [one.geometry.area for one in instances]


def read(points):
    """(areas, repairs) of a list of points."""
    rings, repairs = split_rings(points)
    return [shapely.Polygon(ring).area for ring in rings], dict(repairs)


@pytest.mark.parametrize("place", [0, 7, 12])
def test_the_articles_sample_is_two_instances_and_one_stray_point(place):
    points = closed(BIG) + closed(SMALL)
    points.insert(place, STRAY)
    assert read(points) == ([1234, 588], {"stray point dropped": 1})


def test_the_articles_sample_has_exactly_these_pixels():
    text = json.dumps([*closed(BIG), *closed(SMALL), STRAY])
    annotation = parse_article_text(text, "a.txt")
    masks = [one.mask((80, 100)) for one in annotation.instances]
    assert [mask.sum() for mask in masks] == [1234, 588]
    assert masks[0][10:40, 10:50].all()
    assert masks[1][5:26, 60:88].all()
    assert annotation.repairs == {"stray point dropped": 1}


def test_rings_are_not_closed_and_in_the_files_order():
    rings, repairs = split_rings(closed(SMALL) + closed(BIG))
    np.testing.assert_array_equal(rings[0], SMALL)
    np.testing.assert_array_equal(rings[1], BIG)
    assert not repairs


def test_a_vertex_that_comes_again_as_a_stray_is_dropped():
    for stray in (SQUARE[0], SQUARE[2], SMALL[2]):
        points = [*closed(SQUARE), stray, *closed(SMALL)]
        assert read(points) == ([16, 588], {"stray point dropped": 1})


def test_points_that_come_twice_are_counted_and_dropped():
    a, b, c, d = SQUARE
    points = [a, b, b, c, c, c, d, a]
    assert read(points) == ([16], {"repeated point dropped": 3})
    # A first point that comes twice must not end the ring at once.
    assert read([a, a, b, c, d, a])[0] == [16]


def test_a_last_ring_that_nobody_closed_is_closed():
    points = [*closed(SQUARE), *SMALL]
    assert read(points) == ([16, 588], {"open ring closed": 1})
    assert read(SMALL) == ([588], {"open ring closed": 1})


def test_an_open_ring_before_a_closed_one_is_closed():
    points = [*SQUARE, *closed(SMALL)]
    assert read(points) == ([16, 588], {"open ring closed": 1})


def test_ring_of_two_points_is_left_out():
    points = [*closed(SQUARE), [7, 7], [9, 9], [7, 7], *closed(SMALL)]
    expected = {"ring of fewer than three points left out": 1}
    assert read(points) == ([16, 588], expected)


@pytest.mark.parametrize(
    ("points", "strays"), [([], 0), ([[1, 1]], 1), ([[1, 1], [2, 2]], 2),
                           ([[1, 1]] * 4, 4)]
)  # fmt: skip
def test_too_few_points_are_no_ring(points, strays):
    expected = {"stray point dropped": strays} if strays else {}
    assert read(points) == ([], expected)


@pytest.mark.parametrize("start", range(4))
def test_rings_that_touch_in_a_vertex_stay_two(start):
    other = [[5, 5], [9, 5], [9, 8], [5, 8]]
    other = other[start:] + other[:start]
    points = closed(SQUARE) + closed(other)
    assert read(points) == ([16, 12], {})


def test_rings_that_start_at_the_same_vertex_stay_two():
    points = closed(SQUARE) + closed([[1, 1], [1, -4], [-2, 1]])
    assert read(points) == ([16, 7.5], {})


def test_rings_that_share_an_edge_stay_two():
    points = closed(SQUARE) + closed([[5, 1], [9, 1], [9, 5], [5, 5]])
    assert read(points) == ([16, 16], {})


def test_ring_that_touches_itself_stays_one():
    ring = [[0, 0], [8, 0], [8, 8], [4, 4], [2, 8], [0, 6], [4, 4]]
    rings, repairs = split_rings(closed(ring))
    assert [len(ring) for ring in rings] == [7]
    assert not repairs


def test_thousands_of_rings_are_split_exactly():
    points = []
    for k in range(2000):
        points += closed([[x + 9 * k, y] for x, y in SQUARE])
    assert read(points) == ([16] * 2000, {})


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([closed(BIG), closed(SMALL)]),
        json.dumps([BIG + BIG[:1], [], SMALL + SMALL[:1]]),
        str([tuple(p) for p in closed(BIG) + closed(SMALL)]),
        str(tuple(tuple(p) for p in closed(BIG) + closed(SMALL))),
        "\n" + json.dumps(closed(BIG) + closed(SMALL), indent=1) + "\n\n",
        json.dumps([[float(x), y] for x, y in closed(BIG) + closed(SMALL)]),
    ],
    ids=["rings nested", "an empty ring", "tuples", "tuple of tuples",
         "many lines", "floats"],
)  # fmt: skip
def test_the_same_rings_in_another_notation(text):
    annotation = parse_article_text(text, "a.txt")
    assert areas(annotation.instances) == [1234, 588]
    assert not annotation.repairs


def test_nested_rings_are_repaired_one_by_one():
    text = json.dumps([SQUARE, SMALL])
    annotation = parse_article_text(text, "a.txt")
    assert areas(annotation.instances) == [16, 588]
    assert annotation.repairs == {"open ring closed": 2}


def test_empty_list_is_looked_at_and_nothing_there():
    annotation = parse_article_text("[]", "a.txt")
    assert annotation.instances == []
    assert not annotation.repairs


def test_fractions_of_a_pixel_are_kept():
    text = "[[0.25, 0.5], [3, 0.5], [3, 2], [0.25, 0.5]]"
    (instance,) = parse_article_text(text, "a.txt").instances
    np.testing.assert_array_equal(
        instance.geometry.exterior.coords[0], [0.25, 0.5]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[0, 0], [4, 0], [4, 4]", "list of points"),
        ("[[0 0], [4 0], [4 4]]", "list of points"),
        ("[[0, 0], [4, 0], [4, 4]] and more", "list of points"),
        ('{"a": [[0, 0]]}', "points of two numbers"),
        ("[1, 2, 3]", "points of two numbers"),
        ("[[0, 0, 0], [4, 0, 0], [4, 4, 0]]", "points of two numbers"),
        ("[[0, 0], [4], [4, 4]]", "points of two numbers"),
        ('[["a", "b"], ["c", "d"]]', "points of two numbers"),
        ("[[[[0, 0], [4, 0], [4, 4]]]]", "points of two numbers"),
        ("[" * 100_000, "list of points"),
        ("[[0, 0], [NaN, 0], [4, 4]]", r"finite.*\[nan, 0\]"),
        ("[[0, 0], [null, 0], [4, 4]]", r"finite.*\[nan, 0\]"),
        ("[[0, 0], [Infinity, 0], [4, 4]]", r"finite.*\[inf, 0\]"),
        ("[[0, 0], [4, -1e999], [4, 4]]", r"finite.*\[4, -inf\]"),
        ("[[0, 0], [1e9, 0], [4, 4]]", r"finite.*\[1e\+09, 0\]"),
        ("[[0, 0], [" + "9" * 400 + ", 0], [4, 4]]", "points|finite"),
    ],
)
def test_text_that_is_no_list_of_points_is_refused(tmp_path, text, words):
    with pytest.raises(DataError, match=f"^a.txt, line 3: .*{words}") as error:
        parse_article_text(text, "a.txt, line 3")
    assert len(str(error.value)) < 300


def named(tmp_path, data, name="roof.txt"):
    """{name: (areas, repairs)} of an annotation file with these bytes."""
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return {
        key: (areas(one.instances), dict(one.repairs))
        for key, one in read_article_text(path).items()
    }


def test_file_is_called_like_its_image(tmp_path):
    assert named(tmp_path, TEXT) == {"roof": ([16], {})}
    assert named(tmp_path, "[]", "a.b.txt") == {"a.b": ([], {})}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_byte_order_mark_and_line_ends_do_no_harm(tmp_path, mark, end):
    text = mark + TEXT.encode() + end
    assert named(tmp_path, text) == {"roof": ([16], {})}
    lines = [b"a\t" + TEXT.encode(), b"b\t[]", b"", b"c\t" + TEXT.encode()]
    expected = {"a": ([16], {}), "b": ([], {}), "c": ([16], {})}
    assert named(tmp_path, mark + end.join(lines) + end) == expected


@pytest.mark.parametrize(
    "line",
    [f"a\t{TEXT}", f"a,{TEXT}", f"a , {TEXT}", f'"a","{TEXT}"',
     f"a.png\t{TEXT}", f"a.JPEG,{TEXT}", f"images/a.tif\t{TEXT}"],
)  # fmt: skip
@pytest.mark.parametrize("heading", ["", "image,points\n", "name\tring\n"])
def test_line_names_its_image(tmp_path, line, heading):
    assert named(tmp_path, heading + line) == {"a": ([16], {})}


def test_several_lines_of_one_image_are_put_together(tmp_path):
    text = f"a.png\t{TEXT}\nb\t{TEXT}\na\t{json.dumps([*SMALL, SMALL[0]])}\n"
    text += f"a\t{json.dumps([[1, 1], [2, 2]])}\n"
    expected = {"a": ([16, 588], {"stray point dropped": 2}), "b": ([16], {})}
    assert named(tmp_path, text) == expected


def test_name_may_hold_commas_dots_and_spaces(tmp_path):
    text = f"roof, 1.2 left,{TEXT}\n"
    assert list(named(tmp_path, text)) == ["roof, 1.2 left"]


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ("[[0, 0]", "line 3: expected a list of points"),
        ("[[NaN, 0]]", "line 3: .*[nan, 0]"),
        ("[[1e9, 0]]", "line 3: .*[1e+09, 0]"),
        ("[[1, 2, 3]]", "line 3: .*two numbers"),
        ('[["u", "v"]]', "line 3: .*two numbers"),
    ],
)
def test_a_bad_line_is_told_and_spoils_its_image_alone(tmp_path, points, words):
    path = tmp_path / "list.txt"
    path.write_text(f"a\t{TEXT}\n\nb\t{points}\nc\t[]\n")
    found = read_article_text(path)
    pattern = ".*".join(re.escape(part) for part in words.split(".*"))
    assert re.search(f"list.txt, {pattern}", found["b"].error)
    assert found["a"].error is None
    assert len(found["a"].instances) == 1
    assert found["c"].error is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "an empty file"),
        (" \r\n\n", "an empty file"),
        (f"a\t{TEXT}\nb\n", "line 2: expected NAME<tab or comma>"),
        (f"a\t{TEXT}\n{TEXT}\n", "line 2: expected NAME<tab or comma>"),
        (f"a {TEXT}\n", "line 1: expected NAME<tab or comma>"),
        (b"a\xff\t[]\n", "UTF-8"),
    ],
)
def test_bad_file_is_refused_with_its_name_and_line(tmp_path, data, words):
    with pytest.raises(DataError, match=rf"/roof\.txt.*{words}"):
        named(tmp_path, data)


def test_file_without_a_list_is_not_called_empty(tmp_path):
    with pytest.raises(DataError, match=r"/roof\.txt") as error:
        named(tmp_path, "no polygon here")
    assert "empty" not in str(error.value)


def test_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt.*No such file"):
        read_article_text(tmp_path / "none.txt")


def test_image_name_drops_directories_and_image_endings_alone():
    assert image_name(" a/b/roof.PNG ") == "roof"
    assert image_name("roof.1") == "roof.1"
    assert image_name("roof.1.tiff") == "roof.1"


def test_instance_with_a_hole():
    gap = [(12, 12), (14, 12), (14, 14)]
    hole = Instance(shapely.Polygon(BIG, [gap]))
    assert hole.geometry.area == 1234 - 2
    mask = hole.mask((50, 60))
    assert not mask[12, 13]
    assert mask[13, 12]


def test_images_are_found_by_name(tmp_path):
    for name in ("b10.png", "b9.JPG", "notes.txt", "b9.png"):
        (tmp_path / name).touch()
    nine = [tmp_path / "b9.JPG", tmp_path / "b9.png"]
    assert find_images(tmp_path) == {"b9": nine, "b10": [tmp_path / "b10.png"]}
    assert find_images(nine[0]) == {"b9": nine[:1]}
    with pytest.raises(DataError, match=r"none: .*found nothing"):
        find_images(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert find_images(tmp_path / "empty") == {}


def test_of_images_of_one_name_the_annotated_one_is_meant(tmp_path):
    both = [tmp_path / "b.jpg", tmp_path / "b.png"]
    assert image_of(both, Annotation(tmp_path, file="b.png")) == both[1]
    assert image_of(both[:1], None) == both[0]
    for one in (None, Annotation(tmp_path), Annotation(tmp_path, file="c")):
        with pytest.raises(DataError, match=r"ending \(b\.jpg, b\.png\)"):
            image_of(both, one)
