"""check.py: everything that is wrong with a data set, and nothing else."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image

from conftest import ROOT, assert_refused, contents, run_script
from unet.check import check, raw_items, tree_items
from unet.defects import KINDS
from unet.images import read_image, read_mask, write_png

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
    path = one.mask(2).with_suffix(".gif")
    Image.open(one.mask(2)).save(path)
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
    """Bands x H x W in the image's place."""
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
    what = {one.kind: one.what for one in findings}
    assert what["colour-mask"] == "#000000 93%, #6EC1E4 5%, #3C1098 2%"
    assert what["size-mismatch"] == "64 x 48, its image is 128 x 96"
    assert what["class-range"] == "id 6, other masks go to 2"
    assert what["shifted"].endswith("6 px to the right and 5 px up")
