"""YOLO's label files: shares of an image, in directories of their own."""

import numpy as np
import pytest
import shapely
from PIL import Image

from conftest import REAL, needs_real_data
from unet.annotations.formats import WRITERS
from unet.annotations.pairing import pair
from unet.annotations.placing import from_shares
from unet.annotations.reading import read_file
from unet.annotations.writing import AnnotatedImage
from unet.files.errors import DataError
from unet.geometry.instances import Instance
from unet.imagery.png import write_png
from unet.imagery.stored import stored_as
from unet.inspection.listing import raw_items
from unet.prediction.truth import open_truth

# On an image of 20 x 10 pixels the triangle (2, 1), (18, 1), (18, 9).
TRIANGLE = "0.1 0.1 0.9 0.1 0.9 0.9"
SHAPE = (10, 20)


def add_image(path, shape=SHAPE):
    write_png(path, np.zeros((*shape, 3), np.uint8))
    return path


def add_label(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def add_names(place, *names):
    place.mkdir(parents=True, exist_ok=True)
    (place / "classes.txt").write_text("\n".join(names) + "\n")


def corners(instance):
    return shapely.get_coordinates(instance.geometry)[:-1].tolist()


def told(pairs):
    """{image name: [(label, bounds)]}."""
    return {
        known.name: [
            (one.label, one.geometry.bounds)
            for one in known.annotation.instances
        ]
        for known in pairs
        if known.annotation
    }


def test_shares_become_pixels_of_each_image(tmp_path):
    add_image(tmp_path / "images" / "wide.png")
    add_image(tmp_path / "images" / "high.png", (50, 20))
    for name in ("wide", "high"):
        add_label(tmp_path / "labels" / f"{name}.txt", f"1 {TRIANGLE}")
    add_names(tmp_path, "road", "roof")
    pairs, problems = pair(tmp_path / "images", [tmp_path / "labels"])
    assert problems == []
    assert told(pairs) == {
        "high": [("roof", (2, 5, 18, 45))],
        "wide": [("roof", (2, 1, 18, 9))],
    }
    assert not any(known.annotation.in_shares for known in pairs)


def test_a_photo_that_exif_turns_has_its_shares_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / "a.jpg"
    Image.new("RGB", SHAPE[::-1]).save(path, exif=exif)
    add_label(tmp_path / "a.txt", f"0 {TRIANGLE}")
    add_names(tmp_path, "roof")
    pairs, _ = pair(path.parent, [tmp_path / "a.txt"])
    assert told(pairs) == {"a": [("roof", (1, 2, 9, 18))]}


def test_an_image_and_a_label_of_other_names_belong_together(tmp_path):
    image = add_image(tmp_path / "b.png")
    label = add_label(tmp_path / "a.txt", f"0 {TRIANGLE}")
    add_names(tmp_path, "roof")
    pairs, _ = pair(image, [label])
    assert told(pairs) == {"b": [("roof", (2, 1, 18, 9))]}


def test_boxes_and_turned_boxes(tmp_path):
    add_names(tmp_path, "roof")
    path = add_label(
        tmp_path / "a.txt",
        "0 0.5 0.5 0.5 0.2",
        "0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5",
        "0 0.1 0.1 0.1 0.1 0.2 0.2",
    )
    (annotation,) = read_file(path).values()
    assert annotation.repairs == {
        "box used, there is no polygon": 1,
        "ring of fewer than three points left out": 1,
    }
    box, turned = from_shares(annotation, SHAPE).instances
    assert box.geometry.bounds == (5, 4, 15, 6)
    assert corners(turned) == [[10, 1], [18, 5], [10, 9], [2, 5]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "train: images/train\nnames: [road, roof]\n"),
        ("data.yaml", "names:\n  0: road\n  1: roof\n"),
        ("data.yml", "nc: 2\nnames: ['road', 'roof']\n"),
        ("classes.txt", "road\nroof"),
        ("classes.txt", "\ufeffroad\r\nroof\r\n"),
    ],
)
@pytest.mark.parametrize(
    "place", ["labels/train", "train/labels", "labels", "flat"]
)
def test_names_lie_beside_the_labels_or_above(tmp_path, place, name, text):
    label = add_label(tmp_path / "set" / place / "a.txt", f"1 {TRIANGLE}")
    (tmp_path / "set" / name).write_text(text, newline="")
    (annotation,) = read_file(label).values()
    assert [one.label for one in annotation.instances] == ["roof"]
    add_names(label.parent, "near", "nearest")
    (annotation,) = read_file(label).values()
    assert [one.label for one in annotation.instances] == ["nearest"]


def test_names_of_another_place_are_none_of_the_labels(tmp_path):
    add_names(tmp_path, "roof")
    label = add_label(tmp_path / "my" / "flat" / "a.txt", f"0 {TRIANGLE}")
    with pytest.raises(DataError, match=r"names of the classes in data\.yaml"):
        read_file(label)


def test_the_directories_of_ultralytics(tmp_path):
    for name, side in (("a", "train"), ("b", "val"), ("c", "test")):
        add_image(tmp_path / "images" / side / f"{name}.png")
        add_label(tmp_path / "labels" / side / f"{name}.txt", f"0 {TRIANGLE}")
    (tmp_path / "labels" / "train.cache").write_bytes(b"\x80")
    (tmp_path / "data.yaml").write_text("names: [roof]\n")
    roof = [("roof", (2, 1, 18, 9))]
    both = tmp_path / "images", [tmp_path / "labels"]
    assert told(pair(*both)[0]) == {"a": roof, "b": roof, "c": roof}
    val = tmp_path / "images" / "val", [tmp_path / "labels" / "val"]
    assert told(pair(*val)[0]) == {"b": roof}


def test_labels_beside_their_images(tmp_path):
    add_image(tmp_path / "a.png")
    add_image(tmp_path / "b.png")
    add_image(tmp_path / "c.png")
    add_label(tmp_path / "a.txt", f"0 {TRIANGLE}")
    add_label(tmp_path / "b.txt")
    add_names(tmp_path, "roof")
    pairs, problems = pair(tmp_path, [tmp_path])
    assert problems == []
    # An empty file: nothing is there. No file: nobody has looked.
    assert told(pairs) == {"a": [("roof", (2, 1, 18, 9))], "b": []}
    items, findings = raw_items(tmp_path, [tmp_path])
    assert len(items) == 3
    assert findings == []


def test_an_empty_text_without_names_of_classes_is_none_of_yolo(tmp_path):
    path = add_label(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"an empty file\. Write \[\]"):
        read_file(path)


@pytest.mark.parametrize(
    ("text", "area"),
    [
        ("0 0.5 0.5 0.5 0.2", 0.1),
        ("[[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]", 8),
        ("a\t[[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]", 8),
        ("image,points\na.png,[[0, 0], [4, 0], [4, 2], [0, 0]]", 4),
        ('image,polygon\na.png,"POLYGON ((0 0, 4 0, 4 2, 0 0))"', 4),
        ('"image"\t"x"\t"y"\na\t0\t0\na\t4\t0\na\t4\t2\na\t0\t0', 4),
    ],
)
def test_a_text_file_is_asked_of_every_reader(tmp_path, text, area):
    add_names(tmp_path, "roof")
    ((name, annotation),) = read_file(
        add_label(tmp_path / "a.txt", text)
    ).items()
    (one,) = annotation.instances
    assert (name, one.geometry.area) == ("a", pytest.approx(area))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.1 0.1 1.2 0.1 0.9 0.9", "shares of the image .* found 1.2"),
        ("0 12 4 30 20 15 18", "shares of the image .* found 12"),
        ("0 0.1 -0.1 0.5 0.1 0.9 0.9", "shares of the image .* found -0.1"),
        ("0 0.1 nan 0.5 0.1 0.9 0.9", "shares of the image .* found nan"),
        ("0 0.5 0.5 0.2", "found 3 numbers"),
        (f"0 {TRIANGLE} 0.93", "found 7 numbers.* any probability out"),
        ("0 0.1 0.1 0.9 0.1 roof 0.9", "expected numbers"),
        (f"2 {TRIANGLE}", r"a class that .*classes\.txt names, found 2"),
        (f"-1 {TRIANGLE}", r"a class that .*classes\.txt names, found -1"),
        (f"0.5 {TRIANGLE}", r"a class that .*classes\.txt names, found 0.5"),
        (f"1 {TRIANGLE}", r"a class that .*classes\.txt names, found 1"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, words):
    (tmp_path / "classes.txt").write_text("roof\n\n")
    path = add_label(tmp_path / "a.txt", f"0 {TRIANGLE}", "", line)
    with pytest.raises(DataError, match=rf"a\.txt, line 3: .*{words}") as error:
        read_file(path)
    assert "\n" not in str(error.value)


def test_what_rounding_moves_over_the_border_is_read(tmp_path):
    add_names(tmp_path, "roof")
    path = add_label(tmp_path / "a.txt", "0 -0.0001 0 1.0001 0 1 1")
    (annotation,) = read_file(path).values()
    (one,) = from_shares(annotation, SHAPE).instances
    assert one.geometry.bounds == pytest.approx((-0.002, 0, 20.002, 10))


@pytest.mark.parametrize(
    "text", ["names: [roof", "names: roof", "names: [{a: b}]", "names: 3",
             "names: {a: roof}", "names: [&a [x, x], *a]"]
)  # fmt: skip
def test_names_that_are_none_are_refused(tmp_path, text):
    (tmp_path / "data.yaml").write_text(text)
    path = add_label(tmp_path / "a.txt", f"0 {TRIANGLE}")
    with pytest.raises(DataError, match=r"data\.yaml: expected the names"):
        read_file(path)


def write(out, instances, classes=("roof",), shape=SHAPE):
    writer = WRITERS["yolo"](out, classes)
    image = add_image(out.parent / "a.png", shape)
    writer.add(AnnotatedImage("a", image, shape, instances))
    writer.close()
    return (out / "a.txt").read_text().splitlines()


def read_again(out):
    (annotation,) = read_file(out / "a.txt").values()
    return from_shares(annotation, SHAPE).instances


def test_labels_are_written_as_ultralytics_has_them(tmp_path):
    box = Instance(shapely.Polygon([(2, 1), (18, 1), (18, 9)]), "roof", 0.8)
    lines = write(tmp_path / "out", [box], ["road", "roof"])
    assert lines == [f"1 {TRIANGLE}"]
    names = (tmp_path / "out" / "classes.txt").read_text()
    assert names == "road\nroof\n"


def test_an_object_of_several_parts_with_holes_is_one_line(tmp_path):
    yard = shapely.box(1, 1, 9, 9) - shapely.box(3, 3, 6, 6)
    shape = yard | shapely.box(12, 2, 15, 6) | shapely.box(17, 0, 20, 1)
    assert len(write(tmp_path / "out", [Instance(shape, "roof")])) == 1
    (again,) = read_again(tmp_path / "out")
    np.testing.assert_array_equal(
        again.mask(SHAPE), Instance(shape).mask(SHAPE)
    )


def test_parts_that_overlap_are_a_line_each(tmp_path):
    parts = [shapely.box(1, 1, 9, 9), shapely.box(5, 2, 12, 6)]
    both = Instance(shapely.MultiPolygon(parts), "roof")
    assert len(write(tmp_path / "out", [both])) == 2
    first, second = read_again(tmp_path / "out")
    np.testing.assert_array_equal(
        first.mask(SHAPE) | second.mask(SHAPE), both.mask(SHAPE)
    )


def test_what_lies_beyond_the_image_is_cut(tmp_path):
    lines = write(
        tmp_path / "out",
        [
            Instance(shapely.Polygon([(10, -5), (30, 5), (10, 15)]), "roof"),
            Instance(shapely.box(30, 2, 40, 4), "roof"),
        ],
    )
    assert len(lines) == 1
    values = np.array(lines[0].split()[1:], float)
    assert values.min() >= 0 and values.max() <= 1
    (again,) = read_again(tmp_path / "out")
    assert again.geometry.equals(
        shapely.Polygon([(10, 0), (20, 0), (20, 10), (10, 10)])
    )


def test_ignored_is_the_last_class(tmp_path):
    there = [
        Instance(shapely.box(1, 1, 5, 5), name) for name in ("ignore", "x")
    ]
    lines = write(tmp_path / "out", there, ["ignore", "x"])
    assert [line.split()[0] for line in lines] == ["1", "0"]
    assert [one.label for one in read_again(tmp_path / "out")] == [
        "ignore",
        "x",
    ]


def test_an_image_called_like_the_list_of_classes_is_refused(tmp_path):
    writer = WRITERS["yolo"](tmp_path, ["roof"])
    assert [p.name for p in writer.files("ab")] == [
        "a.txt",
        "b.txt",
        "classes.txt",
    ]
    with pytest.raises(DataError, match=r"no image called classes"):
        writer.files(["a", "classes"])


def test_a_scene_is_scored_by_labels(tmp_path):
    scene = add_image(tmp_path / "a.png")
    label = add_label(tmp_path / "a.txt", "0 0.5 0.5 0.5 0.2")
    add_names(tmp_path, "roof")
    ids, _ = open_truth(label, scene, ["roof"]).rows(0, 10)
    expected = np.zeros(SHAPE)
    expected[4:6, 5:15] = 1
    np.testing.assert_array_equal(ids, expected)


def test_labels_of_a_damaged_image_are_no_second_problem(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"no image")
    label = add_label(tmp_path / "a.txt", f"0 {TRIANGLE}")
    add_names(tmp_path, "roof")
    (known,), problems = pair(tmp_path / "images", [label])
    assert problems == []
    assert len(known.annotation.instances) == 1


@needs_real_data
def test_real_annotations_come_back_to_the_pixel(tmp_path):
    place = REAL / "annotations" / "coco"
    pairs, _ = pair(place, [place / "_annotations.coco.json"])
    writer = WRITERS["yolo"](tmp_path / "labels", ["GreenSpace"])
    for known in pairs:
        shape = stored_as(known.image).upright_shape
        instances = known.annotation.instances
        writer.add(AnnotatedImage(known.name, known.image, shape, instances))
    writer.close()
    again, _ = pair(place, [tmp_path / "labels"])
    assert len(pairs) == len(again) == 5
    for before, after in zip(pairs, again, strict=True):
        shape = stored_as(before.image).upright_shape
        for one, other in zip(
            before.annotation.instances, after.annotation.instances, strict=True
        ):
            np.testing.assert_array_equal(one.mask(shape), other.mask(shape))
