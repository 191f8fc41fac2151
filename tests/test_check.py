"""check.py: everything that is wrong with a data set, and nothing else."""

import base64
import copy
import csv
import json
import shutil

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image, ImageOps

from conftest import (
    REAL,
    ROOT,
    assert_refused,
    contents,
    needs_real_data,
    run_script,
)
from unet.annotations.rules import Rules
from unet.files.errors import DataError
from unet.imagery.mask_values import read_mask
from unet.imagery.png import write_png
from unet.imagery.reading import read_image
from unet.imagery.turns import upright
from unet.inspection.kinds import KINDS
from unet.inspection.listing import raw_items, tree_items
from unet.inspection.places import compare_edges, misplaced_items
from unet.inspection.whole_set import check

SCRIPT = "util/check.py"
HIGH, WIDE = 96, 128
TURN_RIGHT = 6  # EXIF: the camera was held upright


def scene(seed, shape=(HIGH, WIDE)):
    """Soft ground of one's own with four sharp roofs: (image, boxes).

    Boxes are (left, top, right, bottom) in pixels, one in each quarter.
    """
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(
        rng.normal(0, 1, (*shape, 3)).astype(np.float32), (0, 0), 9
    )
    image = 95 + noise / noise.std() * 16 + rng.normal(0, 2, (*shape, 3))
    boxes = []
    for k in range(4):
        top = k // 2 * shape[0] // 2 + rng.integers(6, shape[0] // 8)
        left = k % 2 * shape[1] // 2 + rng.integers(6, shape[1] // 8)
        high = rng.integers(shape[0] // 6, shape[0] // 4)
        wide = rng.integers(shape[1] // 6, shape[1] // 4)
        boxes.append([int(v) for v in (left, top, left + wide, top + high)])
        image[top : top + high, left : left + wide] = rng.integers(170, 240, 3)
    return np.clip(image, 0, 255).astype(np.uint8), boxes


def masks_of(boxes, shape=(HIGH, WIDE)):
    masks = []
    for left, top, right, bottom in boxes:
        masks.append(np.zeros(shape, bool))
        masks[-1][top:bottom, left:right] = True
    return masks


def ring(box):
    """The article's points of a box."""
    left, top, right, bottom = box
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return [*corners, corners[0]]


def rings(boxes):
    """The article's list of several boxes."""
    return [point for box in boxes for point in ring(box)]


class Folder:
    """A sample of a tree, to be spoilt."""

    def __init__(self, root, name, seed, label=""):
        self.root, self.name = root / name, name
        self.pixels, self.boxes = scene(seed)
        self.image = self.root / "images" / f"{name}.png"
        self.masks = self.root / "masks" / label
        write_png(self.image, self.pixels)
        for k, mask in enumerate(masks_of(self.boxes), start=1):
            write_png(self.mask(k), mask)

    def mask(self, k):
        return self.masks / f"{self.name}_mask_{k}.png"

    def replace_image(self, suffix, **options):
        """Save the picture in another way; returns its path."""
        self.image.unlink()
        self.image = self.image.with_suffix(suffix)
        Image.fromarray(self.pixels).save(self.image, **options)
        return self.image

    def stored(self, mode):
        Image.open(self.image).convert(mode).save(self.image)
        return self.image


def exif(orientation):
    tags = Image.Exif()
    tags[274] = orientation
    return tags


# Each spoils a folder and returns the file to blame, or several of them. ------


def no_image(one):
    one.image.unlink()
    return one.root


def several_images(one):
    shutil.copy(one.image, one.image.with_name("other.png"))
    return one.image.parent


def no_masks(one):
    shutil.rmtree(one.masks)
    return one.image


def mixed_masks(one):
    path = one.masks / "building" / f"{one.name}_mask_1.png"
    path.parent.mkdir()
    one.mask(1).rename(path)
    return one.masks


def wrong_name(one):
    path = one.masks / "clean_1_mask_3.png"
    one.mask(3).rename(path)
    return path


def ignored_file(one):
    path = one.mask(2).with_suffix(".npy")
    np.save(path, read_mask(one.mask(2)))
    one.mask(2).unlink()
    return path


def empty_file(one):
    one.mask(2).write_bytes(b"")
    return one.mask(2)


def unreadable(one):
    one.image.write_text("an image, said the mail")
    return one.image


def truncated(one):
    one.image.write_bytes(one.image.read_bytes()[:5000])
    return one.image


def size_mismatch(one):
    write_png(one.mask(1), np.ones((HIGH // 2, WIDE // 2), bool))
    return one.mask(1)


def turned_photo(one):
    """A photo that a tag turns to the right; its pixels lie to the left."""
    one.pixels = np.rot90(one.pixels)
    return one.replace_image(".jpg", quality=95, exif=exif(TURN_RIGHT))


def odd_size(one):
    write_png(one.image, cv2.resize(one.pixels, None, fx=3, fy=3))
    for k in range(1, 5):
        mask = np.kron(read_mask(one.mask(k)), np.ones((3, 3), bool))
        write_png(one.mask(k), mask)
    return one.image


def alpha(one):
    return one.stored("RGBA")


def grey(one):
    return one.stored("L")


def cmyk(one):
    one.pixels = np.asarray(Image.fromarray(one.pixels).convert("CMYK"))
    one.image.unlink()
    one.image = one.image.with_suffix(".jpg")
    Image.fromarray(one.pixels, mode="CMYK").save(one.image, quality=95)
    return one.image


def deep(one):
    image = one.pixels.astype(np.uint16) * 200
    cv2.imwrite(str(one.image), image[..., ::-1])
    return one.image


def write_tiff(one, array):
    """RowBlocks x H x W in the image's place."""
    one.image.unlink()
    one.image = one.image.with_suffix(".tif")
    kind = {"driver": "GTiff", "dtype": array.dtype, "count": len(array)}
    with rasterio.open(one.image, "w", height=HIGH, width=WIDE, **kind) as file:
        file.write(array)
    return one.image


def floats(one):
    image = np.moveaxis(one.pixels, 2, 0).astype(np.float32) / 255
    return write_tiff(one, image)


def bands(one):
    return write_tiff(one, np.repeat(one.pixels[None, ..., 0], 6, axis=0))


def blank(one):
    shutil.rmtree(one.masks)
    one.masks.mkdir()
    write_png(one.image, np.full((HIGH, WIDE, 3), 7, np.uint8))
    return one.image


def jpeg_mask(one):
    path = one.mask(1).with_suffix(".jpg")
    Image.open(one.mask(1)).save(path, quality=80)
    one.mask(1).unlink()
    return path


def grey_mask(one):
    mask = cv2.imread(str(one.mask(2)), cv2.IMREAD_UNCHANGED)
    write_png(one.mask(2), cv2.GaussianBlur(mask, (0, 0), 0.7))
    return one.mask(2)


def colour_mask(one):
    mask = np.zeros((HIGH, WIDE, 3), np.uint8)
    mask[10:20, 10:40] = 0x3C, 0x10, 0x98
    mask[30:50, 10:40] = 0x6E, 0xC1, 0xE4
    write_png(one.mask(1), mask)
    return one.mask(1)


def zero_one(one):
    mask = read_mask(one.mask(3)).astype(np.uint8)
    write_png(one.mask(3), mask)
    return one.mask(3)


def empty_mask(one):
    write_png(one.mask(4), np.zeros((HIGH, WIDE), bool))
    return one.mask(4)


def only_mask(one, mask):
    for k in range(1, 5):
        one.mask(k).unlink()
    write_png(one.mask(1), mask)
    return one.mask(1)


def full_mask(one):
    return only_mask(one, np.ones((HIGH, WIDE), bool))


def inverted(one):
    merged = np.logical_or.reduce(masks_of(one.boxes))
    return only_mask(one, ~merged)


def equal_masks(one):
    shutil.copy(one.mask(2), one.mask(5))
    return one.mask(5)


def overlap(one):
    left, top, right, bottom = one.boxes[0]
    box = left + 3, top + 2, right + 3, bottom + 2
    write_png(one.mask(5), masks_of([box])[0])
    return one.mask(5)


def specks(one):
    mask = read_mask(one.mask(1))
    mask[HIGH // 2, WIDE // 2 : WIDE // 2 + 2] = True
    write_png(one.mask(1), mask)
    return one.mask(1)


def shifted(one):
    for k in range(1, 5):
        mask = np.roll(read_mask(one.mask(k)), (5, -6), axis=(0, 1))
        write_png(one.mask(k), mask)
    return one.masks


TREE = {
    "no-image": no_image,
    "several-images": several_images,
    "no-masks": no_masks,
    "mixed-masks": mixed_masks,
    "wrong-name": wrong_name,
    "ignored-file": ignored_file,
    "empty-file": empty_file,
    "unreadable": unreadable,
    "truncated": truncated,
    "size-mismatch": size_mismatch,
    "exif": turned_photo,
    "odd-size": odd_size,
    "alpha": alpha,
    "grey": grey,
    "cmyk": cmyk,
    "deep": deep,
    "float": floats,
    "bands": bands,
    "blank": blank,
    "jpeg-mask": jpeg_mask,
    "grey-mask": grey_mask,
    "colour-mask": colour_mask,
    "zero-one": zero_one,
    "empty-mask": empty_mask,
    "full-mask": full_mask,
    "inverted": inverted,
    "equal-masks": equal_masks,
    "overlap": overlap,
    "specks": specks,
    "shifted": shifted,
}


def spoil_tree(root):
    """Every defect of TREE and of pairs: {(kind, path)}."""
    found = set()
    for seed, (kind, spoil) in enumerate(TREE.items()):
        folder = Folder(root / "train", f"spoilt_{kind}", seed + 100)
        found.add((kind, spoil(folder)))
    turned = Folder(root / "train", "spoilt_turned", 200)
    turned.pixels = np.rot90(turned.pixels)
    turned.replace_image(".jpg", quality=95, exif=exif(TURN_RIGHT))
    found.add(("exif", turned.image))
    for k in range(1, 5):
        write_png(turned.mask(k), np.rot90(read_mask(turned.mask(k))))
        found.add(("exif-mask", turned.mask(k)))
    for kind, side in (("near-copy", "train"), ("leak", "test")):
        Folder(root / "train", f"first_{kind}", 300 + len(kind))
        copy = Folder(root / side, f"second_{kind}", 300 + len(kind))
        found.add((kind, copy.replace_image(".jpg", quality=70)))
    for number in range(3):
        one = Folder(root / "train", f"spoilt_ids_{number}", 400 + number)
        ids = sum(m * k for k, m in enumerate(masks_of(one.boxes[:2]), 1))
        ids = ids + (number == 2) * 6 * masks_of(one.boxes[2:])[0]
        path = only_mask(one, ids.astype(np.uint8))
        found.add(("class-ids", path))
    return found | {("class-range", path)}


def clean_tree(root):
    for k in range(1, 21):
        side = "train" if k <= 14 else "test"
        Folder(root / side, f"clean_{k}", k)
    nothing = Folder(root / "train", "clean_nothing", 50)
    shutil.rmtree(nothing.masks)
    nothing.masks.mkdir()
    (nothing.masks / ".gitkeep").touch()
    write_png(nothing.image, scene(50)[0][:, ::-1])
    return root


def no_bar(iterable, total, title):
    return iterable


def look(root, annotations=None, specks=8):
    """All findings of a data directory, or of images with annotations."""
    if annotations:
        items, findings = raw_items(root, annotations)
    else:
        train = tree_items(root / "train", "train")
        test = tree_items(root / "test", "test")
        items, findings = train[0] + test[0], train[1] + test[1]
    return findings + check(root, items, specks, no_bar)[1]


def named(findings):
    return {(one.kind, one.path) for one in findings}


def test_every_defect_of_a_tree_is_found_and_nothing_else(tmp_path):
    clean_tree(tmp_path)
    assert named(look(tmp_path)) == set()
    planted = spoil_tree(tmp_path)
    assert len({kind for kind, _ in planted}) >= 34
    findings = look(tmp_path)
    assert named(findings) == planted
    what = {one.kind: one.detail for one in findings}
    assert what["colour-mask"] == "#000000 93%, #6EC1E4 5%, #3C1098 2%"
    assert what["size-mismatch"] == "64 x 48, its image is 128 x 96"
    assert what["class-range"] == "id 6, other masks go to 2"
    assert what["shifted"].endswith("6 px to the right and 5 px up")


class Raw:
    """Images with the article's annotation texts, to be spoilt."""

    def __init__(self, root, shape=(HIGH, WIDE)):
        self.images, self.texts = root / "images", root / "texts"
        self.shape, self.number = shape, 0
        self.texts.mkdir(parents=True)

    def add(self, name, points=rings):
        """An image and its text; ``points`` makes the list from boxes."""
        self.number += 1
        image, boxes = scene(self.number, self.shape)
        write_png(self.images / f"{name}.png", image)
        text = self.texts / f"{name}.txt"
        text.write_text(json.dumps(points(boxes)))
        return text, boxes

    def add_json(self, name, content):
        """An image that is annotated in a JSON file, made from its boxes."""
        text, boxes = self.add(name)
        text.unlink()
        path = text.with_suffix(".json")
        path.write_text(json.dumps(content(boxes)))
        return path

    def add_mask(self, name, mask):
        """An image with a complete mask, made from its boxes."""
        text, boxes = self.add(name)
        text.unlink()
        path = text.with_suffix(".png")
        write_png(path, mask(np.logical_or.reduce(masks_of(boxes, self.shape))))
        return path


def labelme(boxes, kind="polygon", label="building"):
    shapes = [
        {"label": "building", "shape_type": "polygon", "points": ring(box)}
        for box in boxes
    ]
    shapes[-1]["label"], shapes[-1]["shape_type"] = label, kind
    return {"shapes": shapes}


def coco(boxes, **last):
    segments = [[np.ravel(ring(box)[:-1]).tolist()] for box in boxes]
    objects = [
        {"id": k, "image_id": 1, "category_id": 1, "segmentation": segment}
        for k, segment in enumerate(segments)
    ]
    objects[-1].update(last)
    image = {"id": 1, "file_name": "class-range.png"}
    category = {"id": 1, "name": "building"}
    return {"images": [image], "annotations": objects, "categories": [category]}


def pixels_of_coco(boxes):
    """COCO, run-length encoded: the last object twice, with a speck."""
    masks = masks_of(boxes)
    masks[-1][2, 2:5] = True
    objects = []
    for number, mask in enumerate([*masks, masks[-1]]):
        flat = mask.ravel(order="F").astype(int)
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *edges, flat.size]).tolist()
        objects.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": 1,
                "segmentation": {"size": [HIGH, WIDE], "counts": runs},
            }
        )
    image = {"id": 1, "file_name": "a.png", "width": WIDE, "height": HIGH}
    category = {"id": 1, "name": "building"}
    return {"images": [image], "annotations": objects, "categories": [category]}


def pixels_of_labelme(boxes):
    """The same as mask shapes of labelme."""
    masks = masks_of(boxes)
    masks[-1][2, 2:5] = True
    shapes = []
    for mask in [*masks, masks[-1]]:
        png = cv2.imencode(".png", mask * np.uint8(255))[1].tobytes()
        corners = [[0, 0], [WIDE - 1, HIGH - 1]]
        shape = {"label": "building", "points": corners, "shape_type": "mask"}
        shapes.append({**shape, "mask": base64.b64encode(png).decode()})
    return {"shapes": shapes}


@pytest.mark.parametrize("content", [pixels_of_coco, pixels_of_labelme])
def test_instances_of_pixels_are_masks_not_polygons(tmp_path, content):
    raw = Raw(tmp_path)
    raw.add_json("a", content)
    seen = sorted((f.kind, f.detail) for f in look(raw.images, [raw.texts]))
    objects = len(masks_of(scene(1)[1]))
    assert seen == [
        (
            "equal-masks",
            f"a, object {objects + 1} is equal to object {objects}",
        ),
        ("specks", "a, a part of 3 px, and 1 more"),
    ]
    run(tmp_path, "images", "texts", "--fix", "mended")
    masks = sorted((tmp_path / "mended" / "a" / "masks").iterdir())
    assert len(masks) == objects
    assert not any(read_mask(mask)[2, 2:5].any() for mask in masks)


def test_the_name_of_an_image_is_no_finding(tmp_path):
    raw = Raw(tmp_path)
    text, _ = raw.add("open ring road outside its image")
    other = text.rename(raw.texts / "stray point.txt")
    (image,) = raw.images.iterdir()
    assert look(image, [other]) == []


def hourglass(boxes):
    left, top, right, bottom = boxes[0]
    crossed = [[left, top], [right, bottom], [right, top], [left, bottom]]
    return [*rings(boxes[1:]), *crossed, crossed[0]]


POLYGONS = {
    "polygon-outside": lambda boxes: rings([*boxes, (300, 300, 320, 320)]),
    "polygon-crossing": hourglass,
    "polygon-open": lambda boxes: rings(boxes)[:-1],
    "stray-points": lambda boxes: [*rings(boxes), [50, 50]],
    "polygon-twice": lambda boxes: rings([*boxes, boxes[1]]),
    "polygon-tiny": lambda boxes: rings([*boxes, (62, 47, 64, 48)]),
    "overlap": lambda boxes: rings([*boxes, np.add(boxes[0], 3).tolist()]),
}


def spoil_raw(raw):
    """Every defect of annotations: {(kind, path)}."""
    found = {
        (kind, raw.add(kind, points)[0]) for kind, points in POLYGONS.items()
    }
    text, _ = raw.add("swapped", lambda b: [p[::-1] for p in rings(b)])
    found.add(("corner", text))
    text, _ = raw.add(
        "shares", lambda b: (np.array(rings(b)) / [WIDE, HIGH]).tolist()
    )
    found.add(("corner", text))

    text, _ = raw.add("turned")
    photo = raw.images / "turned.png"
    pixels = Image.open(photo)
    photo.unlink()
    pixels.save(photo.with_suffix(".jpg"), quality=95, exif=exif(TURN_RIGHT))
    found |= {("exif", photo.with_suffix(".jpg")), ("exif-mask", text)}

    raw.add("lost")
    (raw.images / "lost.png").unlink()
    found.add(("no-image", raw.texts / "lost.txt"))
    text, _ = raw.add("nobody")
    text.unlink()
    found.add(("no-masks", raw.images / "nobody.png"))
    raw.add("one_name")
    Image.fromarray(scene(999)[0]).save(raw.images / "one_name.jpg")
    found.add(("several-images", raw.images / "one_name.png"))
    text, _ = raw.add("no_list")
    text.write_text("[[1, 2], [3,")
    found.add(("bad-annotation", text))
    text, boxes = raw.add("both")
    path = text.with_suffix(".json")
    path.write_text(json.dumps(labelme(boxes)))
    # Which of the two is read first is a matter of their names.
    found.add(("annotated-twice", text))

    path = raw.add_json("lines", lambda b: labelme(b, kind="linestrip"))
    found.add(("left-out", path))
    path = raw.add_json("case", lambda b: labelme(b, label="Building"))
    found.add(("spelling", path))
    path = raw.add_json("class-range", lambda b: coco(b, category_id=7))
    found.add(("class-range", path))

    path = raw.add_mask("small", lambda mask: mask[::2, ::2])
    found.add(("size-mismatch", path))
    path = raw.add_mask("ones", lambda mask: mask.astype(np.uint8))
    return found | {("zero-one", path)}


def test_every_defect_of_annotations_is_found_and_nothing_else(tmp_path):
    raw = Raw(tmp_path)
    for k in range(12):
        raw.add(f"clean_{k}")
    raw.add("nothing", lambda boxes: [])
    write_png(raw.images / "nothing.png", scene(77)[0][::-1])
    raw.add_mask("black", lambda mask: mask & False)
    raw.add_json("labelme", labelme)
    assert named(look(raw.images, [raw.texts])) == set()
    planted = spoil_raw(raw)
    assert len({kind for kind, _ in planted}) >= 20
    assert named(look(raw.images, [raw.texts])) == planted


def test_images_that_are_not_there_are_one_finding(tmp_path):
    raw = Raw(tmp_path)
    for k in range(9):
        raw.add(f"a{k}")
        if k > 2:
            (raw.images / f"a{k}.png").unlink()
    (finding,) = look(raw.images, [raw.texts])
    assert (finding.kind, finding.path) == ("no-image", raw.texts)
    assert finding.detail == (
        "annotations of 6 images (a3, a4, a5, a6, a7, ...) that are not there"
    )


def test_a_set_in_the_wrong_place_is_not_mended(tmp_path):
    raw = Raw(tmp_path)
    for k in range(6):
        raw.add(f"a{k}", lambda b: (np.array(rings(b)) / 2).tolist())
    items, _ = raw_items(raw.images, [raw.texts])
    looks, findings = check(tmp_path, items, 8, no_bar)
    assert [(f.kind, len(f.others)) for f in findings] == [("corner", 6)]
    again = compare_edges(tmp_path, looks, misplaced_items(looks, findings))
    assert list(again) == []
    result = run(tmp_path, "images", "texts", "--fix", "mended")
    assert "0 images -> mended" in result.stdout


def test_swapped_coordinates_are_seen_on_square_images_too(tmp_path):
    raw = Raw(tmp_path, (HIGH, HIGH))
    for k in range(6):
        raw.add(f"clean_{k}")
    text, _ = raw.add("swapped", lambda b: [p[::-1] for p in rings(b)])
    assert named(look(raw.images, [raw.texts])) == {("corner", text)}


def test_annotations_of_an_image_of_another_size(tmp_path):
    raw = Raw(tmp_path)
    for k in range(3):
        raw.add(f"clean_{k}")

    def sized(boxes, height, width):
        return {**labelme(boxes), "imageHeight": height, "imageWidth": width}

    small = raw.add_json("small", lambda b: sized(b, HIGH // 2, WIDE // 2))
    raw.add_json("right", lambda b: sized(b, HIGH, WIDE))
    (finding,) = look(raw.images, [raw.texts])
    assert (finding.kind, finding.path) == ("size-mismatch", small)
    assert finding.detail == "made for 64 x 48 pixels, the image has 128 x 96"


def test_colours_of_raw_masks_are_classes(tmp_path):
    raw = Raw(tmp_path)

    def paint(mask):
        picture = np.zeros((HIGH, WIDE, 3), np.uint8)
        picture[mask] = 0x3C, 0x10, 0x98
        picture[:5] = 0x6E, 0xC1, 0xE4
        return picture

    for k in range(3):
        raw.add_mask(f"clean_{k}", paint)
    assert look(raw.images, [raw.texts]) == []
    many = raw.add_mask("many", lambda mask: scene(5)[0])
    colours = {0x3C1098: "roof", 0x6EC1E4: "road", 0: ""}
    items, _ = raw_items(raw.images, [raw.texts], rules=Rules(colours=colours))
    looks, findings = check(tmp_path, items, 8, no_bar)
    assert named(findings) == {("colour-mask", many)}
    assert {name for one in looks for name in one.covers} == {"roof", "road"}


@pytest.mark.parametrize("orientation", [3, 6])
def test_annotations_of_an_unturned_square_photo(tmp_path, orientation):
    raw, truth = Raw(tmp_path, (HIGH, HIGH)), {}
    for name in ("turned", "upright"):
        text, boxes = raw.add(name)
        photo = raw.images / f"{name}.png"
        image = Image.open(photo)
        image.load()
        image.save(photo, exif=exif(orientation))
        truth[name] = masks_of(boxes, (HIGH, HIGH))
    # The annotation of this one was drawn on the photo as the eye sees it.
    pixels = np.asarray(ImageOps.exif_transpose(Image.open(photo)))
    boxes = [
        (int(c.min()), int(r.min()), int(c.max()) + 1, int(r.max()) + 1)
        for mask in truth["upright"]
        for r, c in [np.nonzero(upright(mask, orientation))]
    ]
    text.write_text(json.dumps(rings(boxes)))
    items, _ = raw_items(raw.images, [raw.texts])
    before = copy.deepcopy(items)
    findings = check(raw.images, items, 8, no_bar)[1]
    assert items == before  # looking changes nothing
    assert {(f.kind, f.path.stem) for f in findings} == {
        ("exif", "turned"),
        ("exif", "upright"),
        ("exif-mask", "turned"),
    }
    run(tmp_path, "images", "texts", "--fix", "mended")
    for name, masks in truth.items():
        folder = tmp_path / "mended" / name
        for k, mask in enumerate(masks, start=1):
            made = read_mask(folder / "masks" / f"{name}_mask_{k}.png")
            np.testing.assert_array_equal(made, upright(mask, orientation))
    with Image.open(folder / "images" / "upright.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_pillows(orientation):
    pixels = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    image = Image.fromarray(pixels)
    image.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(upright(pixels, orientation), expected)


@needs_real_data
def test_real_tiles_are_blamed_for_what_was_seen_to_be_wrong(tmp_path):
    """Each of these was looked at: a loose pixel, labels beside their roof."""
    source = REAL / "buildings"
    for path in source.glob("*/barnarp_[15]_*.png"):
        target = tmp_path / path.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(path)
    masks = tmp_path / "masks"
    findings = look(tmp_path / "images", [masks])
    assert named(findings) == {
        ("specks", masks / "barnarp_1_7_10.png"),
        ("shifted", masks / "barnarp_5_1_11.png"),
    }


@pytest.mark.parametrize(
    ("change", "kind", "what"),
    [
        (lambda points: np.flip(points, 1), "corner", "x and y swapped"),
        (lambda points: points * 0.6, "corner", "of the width"),
        (lambda points: np.add(points, [2, -3]), "shifted", "2 px to the left"),
    ],
    ids=["swapped", "another scale", "shifted"],
)
def test_what_is_wrong_everywhere_is_one_finding(tmp_path, change, kind, what):
    raw = Raw(tmp_path, (HIGH, HIGH))
    for k in range(12):
        raw.add(f"image_{k}", lambda b: change(np.array(rings(b))).tolist())
    (finding,) = look(raw.images, [raw.texts])
    assert (finding.kind, finding.path) == (kind, raw.images)
    assert what in finding.detail


def in_class(root, name, seed, labels):
    """A sample whose objects carry these classes in turn."""
    image, boxes = scene(seed)
    write_png(root / name / "images" / f"{name}.png", image)
    for k, mask in enumerate(masks_of(boxes)):
        label = labels[k % len(labels)]
        write_png(root / name / "masks" / label / f"{k}.png", mask)
    return root / name / "masks"


def test_classes_are_compared_over_the_set(tmp_path):
    train, test = tmp_path / "train", tmp_path / "test"
    for k in range(6):
        in_class(train, f"a_{k}", k, ["roof", "road"])
    in_class(test, "b", 20, ["roof", "road"])
    assert named(look(tmp_path)) == set()
    masks = in_class(train, "c", 21, ["roof", "Road "])
    path = masks / "tree" / "0.png"
    write_png(path, masks_of([(60, 40, 64, 44)])[0])
    findings = look(tmp_path)
    assert named(findings) == {
        ("spelling", masks / "Road "),
        ("rare-class", tmp_path),
        ("one-sided", test),
    }
    what = {one.kind: one.detail for one in findings}
    assert what["spelling"] == "'Road ', elsewhere 'road'"
    assert what["one-sided"] == "tree: in train, not in test"
    assert what["rare-class"].startswith("tree: 0.")
    assert "in 1 of 8 images" in what["rare-class"]


def test_what_all_images_have_is_told_once_or_not_at_all(tmp_path):
    clean_tree(tmp_path)
    for path in tmp_path.glob("*/*/images/*.png"):
        Image.open(path).convert("LA").save(path)
    (finding,) = look(tmp_path)
    assert (finding.kind, finding.path) == ("alpha", tmp_path)
    assert finding.detail == "all 21 images: an alpha channel"


def test_sets_that_nobody_has_labelled(tmp_path):
    for side in ("train", "test"):
        for k in range(3):
            shutil.rmtree(Folder(tmp_path / side, f"{side}_{k}", k).masks)
            path = tmp_path / side / f"{side}_{k}" / "images"
            write_png(path / f"{side}_{k}.png", scene(k + len(side))[0])
    findings = [f for f in look(tmp_path) if f.kind != "leak"]
    assert named(findings) == {("nothing-labelled", tmp_path / "train")}


def test_a_tree_without_any_image_is_told_not_refused(tmp_path):
    for k in range(2):
        Folder(tmp_path, f"Folder_{k}", k).image.unlink()
    (tmp_path / "notes").mkdir()
    result = run(tmp_path, ".", "--out", "told")
    assert result.returncode == 1, result.stderr
    assert "no-image" in result.stdout
    assert "notes" not in result.stdout


def run(cwd, *arguments):
    return run_script(SCRIPT, *arguments, cwd=cwd)


def test_clean_data_of_the_repository(tmp_path):
    """Nothing is found; what there is is told all the same."""
    result = run(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[0] == "120 images, nothing found"
    out = tmp_path / "prepared" / "check"
    assert sorted(p.name for p in out.iterdir()) == [
        "data.png",
        "findings.csv",
        "report.html",
    ]
    assert "nothing found" in (out / "report.html").read_text()
    raw = ROOT / "data" / "raw"
    result = run(
        tmp_path, raw / "images", raw / "annotations", "--out", "again"
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_script_tells_prints_mends_and_changes_nothing(tmp_path):
    clean_tree(tmp_path / "data")
    planted = spoil_tree(tmp_path / "data")
    before = contents(tmp_path / "data")
    result = run(tmp_path, "data", "--out", "told", "--fix", "mended")
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert contents(tmp_path / "data") == before

    with (tmp_path / "told" / "findings.csv").open() as file:
        rows = list(csv.DictReader(file))
    root = tmp_path / "data"
    assert {(row["kind"], tmp_path / row["file"]) for row in rows} == planted
    page = (tmp_path / "told" / "report.html").read_text()
    for row in rows:
        path = (tmp_path / row["file"]).relative_to(root)
        assert KINDS[row["kind"]].why in result.stdout
        assert f"<code>{path}</code>" in page
    assert page.count("data:image/jpeg;base64,") >= 30
    assert "http" not in page

    run(tmp_path, "mended", "--out", "again")
    with (tmp_path / "again" / "findings.csv").open() as file:
        kinds = {row["kind"] for row in csv.DictReader(file)}
    assert not {kind for kind in kinds if KINDS[kind].fixed}
    assert kinds == {
        "no-masks",
        "odd-size",
        "blank",
        "full-mask",
        "inverted",
        "overlap",
        "shifted",
        "near-copy",
        "leak",
    }


def test_what_mending_makes_of_pixels(tmp_path):
    tree = tmp_path / "tree"
    folders = {
        kind: Folder(tree, kind, seed)
        for seed, kind in enumerate(
            ["alpha", "zero-one", "equal-masks", "specks", "jpeg-mask", "clean"]
        )
    }
    for kind, one in folders.items():
        if kind != "clean":
            TREE[kind](one)
    turned = Folder(tree, "turned", 50)
    truth = [read_mask(turned.mask(k)) for k in range(1, 5)]
    pixels = turned.pixels
    turned.pixels = np.rot90(turned.pixels)
    turned.replace_image(".png", exif=exif(TURN_RIGHT))
    for k in range(1, 5):
        write_png(turned.mask(k), np.rot90(truth[k - 1]))
    lost = Folder(tree, "lost", 51)
    unreadable(lost)
    result = run(tmp_path, "tree", "--fix", "mended")
    assert result.returncode == 1
    assert "left out: lost: files that are no image" in result.stdout
    mended = tmp_path / "mended"
    assert not (mended / "lost").exists()
    for kind, one in folders.items():
        expected = masks_of(one.boxes)
        made = sorted((mended / kind / "masks").iterdir())
        assert len(made) == 4
        found = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in made]
        assert all(set(np.unique(mask)) == {0, 255} for mask in found)
        # Which mask is the first is a matter of the files' names.
        assert {(m > 0).tobytes() for m in found} == {
            m.tobytes() for m in expected
        }
        with Image.open(mended / kind / "images" / f"{kind}.png") as image:
            assert image.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(image), one.pixels)
    made = mended / "turned"
    with Image.open(made / "images" / "turned.png") as image:
        assert 274 not in image.getexif()
        np.testing.assert_array_equal(np.asarray(image), pixels)
    for k in range(1, 5):
        mask = read_mask(made / "masks" / f"turned_mask_{k}.png")
        np.testing.assert_array_equal(mask, truth[k - 1])
    clean = folders["clean"].image
    copied = mended / "clean" / "images" / "clean.png"
    assert copied.read_bytes() == clean.read_bytes()


def test_mending_annotations_unites_classes_and_draws_polygons(tmp_path):
    raw = Raw(tmp_path)
    for k in range(5):
        raw.add_json(f"clean_{k}", labelme)
    raw.add_json("case", lambda b: labelme(b, label="Building"))
    raw.add_json("wall", lambda b: labelme(b, label="../wall"))
    result = run(tmp_path, "images", "texts", "--fix", "mended")
    assert result.returncode == 1, result.stderr
    assert "spelling" in result.stdout
    mended = tmp_path / "mended"
    masks = mended / "case" / "masks"
    assert [path.name for path in masks.iterdir()] == ["building"]
    expected = masks_of(scene(6)[1])
    for k, mask in enumerate(expected, start=1):
        path = masks / "building" / f"case_mask_{k}.png"
        np.testing.assert_array_equal(read_mask(path), mask)
    assert sorted(
        path.name for path in (mended / "wall" / "masks").iterdir()
    ) == ["_wall", "building"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "images",
        "mended",
        "prepared",
        "texts",
    ]


def test_results_stay_unless_overwritten(tmp_path):
    clean_tree(tmp_path / "data")
    specks(Folder(tmp_path / "data" / "train", "clean_1", 1))
    assert run(tmp_path, "data", "--out", "out").returncode == 1
    before = contents(tmp_path)
    assert_refused(run(tmp_path, "data", "--out", "out"), "--overwrite")
    result = run(tmp_path, "data", "--out", "new", "--fix", "data/mended")
    assert_refused(result, "mended", "may not lie in its input")
    assert contents(tmp_path) == before


def test_images_within_labelme_files_are_checked_and_mended(tmp_path):
    raw = Raw(tmp_path)

    def within(boxes, data):
        text = base64.b64encode(data).decode()
        return {**labelme(boxes), "imagePath": "x.png", "imageData": text}

    for k in range(3):
        raw.add_json(f"clean_{k}", labelme)
    for k, name in enumerate(("grey", "whole", "bad", "worse"), start=7):
        pixels, boxes = scene(k)
        data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
        if name == "grey":
            data = cv2.imencode(".png", pixels[..., 0])[1].tobytes()
        found = within(boxes, data[:99] if name == "bad" else data)
        if name == "worse":
            found["imageData"] = "A"
        found["imagePath"] = f"{name}.png"
        write_json(raw.texts / f"{name}.json", found)
    assert named(look(raw.images, [raw.texts])) == {
        ("grey", raw.texts / "grey.json"),
        ("truncated", raw.texts / "bad.json"),
        ("unreadable", raw.texts / "worse.json"),
    }
    result = run(tmp_path, "images", "texts", "--fix", "mended")
    assert "7 images; findings: 3" in result.stdout
    mended = tmp_path / "mended"
    assert not {"bad", "worse"} & {path.name for path in mended.iterdir()}
    np.testing.assert_array_equal(
        read_image(mended / "whole" / "images" / "whole.png"), scene(8)[0]
    )
    images = tmp_path / "none"
    images.mkdir()
    items, _ = raw_items(images, [raw.texts / "whole.json"])
    assert [item.name for item in items] == ["whole"]


def write_json(path, data):
    path.write_text(json.dumps(data))


def test_what_annotations_do_not_say_is_said_by_options(tmp_path):
    for k in range(3):
        pixels, boxes = scene(k)
        path = tmp_path / "images" / f"a{k}.tif"
        path.parent.mkdir(exist_ok=True)
        bands = np.dstack([pixels * 0, pixels]).transpose(2, 0, 1)
        size = {"width": WIDE, "height": HIGH, "count": 6, "dtype": "uint8"}
        with rasterio.open(path, "w", "GTiff", **size) as file:
            file.write(bands)
        mask = np.any(masks_of(boxes), axis=0) * np.uint8(200) + np.uint8(30)
        write_png(tmp_path / "masks" / f"a{k}.png", mask)
    asked = run(tmp_path, "images", "masks", "--out", "asked")
    assert {"bands", "grey-mask"} & set(asked.stdout.split())
    options = ["--bands", "4,5,6", "--threshold", "0.5"]
    told = run(tmp_path, "images", "masks", *options, "--fix", "mended")
    assert told.stdout.startswith("3 images, nothing found"), told.stdout
    sample = tmp_path / "mended" / "a1"
    np.testing.assert_array_equal(
        read_image(sample / "images" / "a1.png"), scene(1)[0]
    )
    mask = read_mask(sample / "masks" / "a1_mask_1.png")
    np.testing.assert_array_equal(mask, np.any(masks_of(scene(1)[1]), axis=0))
    table = "nr,photo,outline\n" + "".join(
        f'{k},a{k},"{rings(scene(k)[1])}"\n' for k in range(3)
    )
    (tmp_path / "table.csv").write_text(table)
    options = [*options[:2], "--image-column", "photo", "--out", "table"]
    told = run(tmp_path, "images", "table.csv", *options)
    assert told.stdout.startswith("3 images, nothing found"), told.stdout
    alone = run(tmp_path, "mended", "--bands", "1,2,3", "--out", "alone")
    assert_refused(alone, "mended", "IMAGES ANNOTATIONS")


def test_the_size_of_specks_is_an_option(tmp_path):
    specks(Folder(tmp_path / "train", "a", 1))
    items, _ = tree_items(tmp_path / "train")
    assert [f.kind for f in check(tmp_path, items, 3, no_bar)[1]] == ["specks"]
    assert check(tmp_path, items, 2, no_bar)[1] == []


def test_what_cannot_be_checked_is_refused(tmp_path):
    empty, images = tmp_path / "empty", tmp_path / "images"
    empty.mkdir()
    write_png(images / "a.png", scene(0)[0])
    with pytest.raises(DataError, match=r"nowhere: expected .* found nothing"):
        tree_items(tmp_path / "nowhere")
    for place in (empty, images):
        with pytest.raises(DataError, match=r"check\.py IMAGES ANNOTATIONS"):
            tree_items(place)
    with pytest.raises(DataError, match="empty: expected annotations"):
        raw_items(images, [empty])
    with pytest.raises(DataError, match="empty: expected images"):
        raw_items(empty, [images])
    assert_refused(run(tmp_path, "images"), "images", "found none")
    assert not (tmp_path / "prepared").exists()
