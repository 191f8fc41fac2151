"""What is wrong with a data set, found before anything is trained.

``look_at_tree`` and ``look_at_raw`` list what there is, ``check`` looks at
every file and compares them all. Nothing stops at the first fault: whatever
is wrong becomes a ``Finding``.
"""

import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import shapely
from shapely import affinity

from unet.annotations import Annotation, CompleteMask, Instance
from unet.defects import Finding, Item
from unet.folders import (
    DEFAULT_CLASS,
    IMAGE_ENDINGS,
    DataError,
    list_images,
    natural,
)
from unet.formats import annotation_files, in_pixels, read_file
from unet.images import (
    fingerprint,
    near_copies,
    read_image,
    read_values,
    resize_image,
    stored_as,
    upright,
)
from unet.masks import rasterise

_SPELLINGS = str.maketrans("", "", " _-\t")
_LITTER = ("thumbs.db", "desktop.ini")
_NAMED = 6  # values named in one line

# Thresholds. Each was set so that it is silent on the sample data and mostly
# right on real tiles.
_FULL = 0.999  # share of the pixels
_TWICE = 0.5  # of the smaller object's pixels lie in the other
_BEYOND = 2.0  # pixels outside the frame that are no slip of the hand
_ODD = 2.0  # times smaller or larger than the middle half of the images
_RARE = 0.02  # of the pixels of the most frequent class
_SCRIBBLE = 2000  # points
_FLAT = 1.0  # grey levels of standard deviation
_CLEAR = 40  # grey levels from 0 or from the largest: smeared, but clear
_UNCLEAR = 0.05  # share of the pixels that are not clear
_SWAPPED = 1.6  # times better than as they are
_CHANCE = 1.4  # of the edge strength: outlines that lie on nothing
_ENOUGH = 10  # images, for a judgement on all of them
_CORRELATED = 0.9  # of grey values at 64 x 64 pixels
_REACH = 12  # pixels that labels are moved to find the image's edges
_SIDE = 256  # longest side on which edges are compared


@dataclass
class Piece:
    """One object as pixels, cut out of its image.

    Attributes:
        source: the file that holds it.
        label: its class.
        title: what to call it within the file.
        top, left: where ``crop`` lies.
        crop: bool array, the pixels within the object's bounding box.
        drawn: whether it was a polygon.
    """

    source: Path
    label: str
    title: str
    top: int
    left: int
    crop: np.ndarray
    drawn: bool = False

    @property
    def area(self):
        return int(np.count_nonzero(self.crop))

    @property
    def box(self):
        height, width = self.crop.shape
        return self.left, self.top, self.left + width, self.top + height


@dataclass
class Look:
    """What was seen of one item.

    Attributes:
        item: the item.
        findings: what is wrong with it by itself.
        shape: (H, W) as the eye sees it; None if the image is unreadable.
        light: mean of the grey values, 0 to 255.
        contrast: their standard deviation.
        print: for ``near_copies``; None for an image of a single colour.
        traits: kinds that count only where the rest of the set lacks them.
        areas: (class, pixels) of every object.
        covers: pixels by class.
        colours: pixels by colour, of masks of several colours.
        masks: (file, class, share, share of the image's border) of masks.
        ids: values of masks that hold class ids, by file.
        edges: see ``_edge_map``; None where there is too little outline.
        swapped: the same with x and y swapped.
        misplaced: whether the annotation lies in the wrong place as a whole.
        reach: (right, bottom) that polygons reach, shares of the image.
        unclear: a mask file of which nobody can tell the object, or None.
    """

    item: Item
    findings: list[Finding] = field(default_factory=list)
    shape: tuple[int, int] | None = None
    light: float = 0.0
    contrast: float = 0.0
    print: tuple | None = None
    traits: dict[str, str] = field(default_factory=dict)
    areas: list[tuple[str, int]] = field(default_factory=list)
    covers: Counter = field(default_factory=Counter)
    colours: Counter = field(default_factory=Counter)
    masks: list[tuple[Path, str, float, float]] = field(default_factory=list)
    ids: dict[Path, list[int]] = field(default_factory=dict)
    edges: np.ndarray | None = None
    swapped: np.ndarray | None = None
    misplaced: bool = False
    reach: tuple[float, float] | None = None
    unclear: Path | None = None

    def add(self, kind, path, what, box=None):
        self.findings.append(Finding(kind, path, what, self.item, box))


# What there is ---------------------------------------------------------------


def tree_items(root, side=""):
    """List a tree of ``Folder_n`` folders, whatever state it is in.

    Args:
        root: the directory.
        side: "train", "test" or "".

    Returns:
        (items, findings): folders with an image, and what is wrong with the
        others.

    Raises:
        DataError: there is no such directory, or no folder in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"{root}: expected a directory of Folder_n folders, found "
            f"{'a file' if root.exists() else 'nothing'}. Check the path."
        )
    folders = [root]
    if not (root / "images").is_dir():
        folders = sorted(
            (p for p in root.iterdir() if p.is_dir() and p.name[0] != "."),
            key=lambda path: natural(path.name),
        )
        # Other directories may lie beside the samples.
        folders = [p for p in folders if _is_sample(p)]
    if not folders:
        raise DataError(
            f"{root}: expected folders like {root.name}/Folder_1/images/"
            "Folder_1.png, found none. Images and annotations in two "
            "directories are checked with: check.py IMAGES ANNOTATIONS."
        )
    items, findings = [], []
    names = {path.name for path in folders}
    for folder in folders:
        found = _read_folder(folder, side, names, findings)
        if found:
            items.append(found)
    return items, findings


def _is_sample(folder):
    """Whether a folder was meant to hold a sample."""
    parts = (folder / "images").is_dir() or (folder / "masks").is_dir()
    return parts or bool(list_images(folder))


def _read_folder(folder, side, names, findings):
    """One folder as an item; what is wrong is added to the findings."""
    images = _readable(folder / "images", findings)
    if not images:
        findings.append(Finding("no-image", folder, "no image in images/"))
        return None
    masks, mixed = _mask_files(folder / "masks", findings)
    name = folder.resolve().name
    item = Item(name, side, images[0], masks)
    if len(images) > 1:
        named = ", ".join(path.name for path in images[:_NAMED])
        findings.append(
            Finding("several-images", folder / "images", named, item)
        )
    if mixed:
        findings.append(
            Finding(
                "mixed-masks",
                folder / "masks",
                f"{mixed} beside class folders",
                item,
            )
        )
    for path in [images[0], *(path for path, _ in masks or [])]:
        owner = _owner(path.stem, name, names)
        if owner:
            findings.append(
                Finding("wrong-name", path, f"{owner} is another folder", item)
            )
    return item


def _owner(stem, name, names):
    """The other folder that a file is named after, or None."""
    if stem == name or stem.startswith(f"{name}_mask"):
        return None
    owner = stem.split("_mask")[0]
    return owner if owner != name and owner in names else None


def _readable(directory, findings):
    """The images of a directory; what is no image is a finding."""
    if not directory.is_dir():
        return []
    images = list_images(directory)
    for path in sorted(directory.iterdir()):
        hidden = path.name[0] == "." or path.name.lower() in _LITTER
        if path.is_file() and path not in images and not hidden:
            findings.append(
                Finding(
                    "ignored-file", path, f"ends in {path.suffix or path.name}"
                )
            )
    return images


def _mask_files(directory, findings):
    """(list of (mask file, class) or None, name of a loose mask or None)."""
    if not directory.is_dir():
        return None, None
    loose = _readable(directory, findings)
    masks = [(path, DEFAULT_CLASS) for path in loose]
    folders = sorted(
        p for p in directory.iterdir() if p.is_dir() and p.name[0] != "."
    )
    for folder in folders:
        masks += [(path, folder.name) for path in _readable(folder, findings)]
    return masks, loose[0].name if loose and folders else None


def raw_items(images, annotations, kind=None, attribute=None):
    """List images with annotations of any format, whatever state they are in.

    Args:
        images: a directory of images, or one image.
        annotations: files and directories of annotations.
        kind, attribute: see ``unet.formats.read_file``.

    Returns:
        (items, findings).

    Raises:
        DataError: there is no image, or no annotation file.
    """
    images = Path(images)
    if not images.exists():
        raise DataError(
            f"{images}: expected a directory of images, found nothing. Check "
            "the path."
        )
    findings, items = [], {}
    files = _readable(images, findings) if images.is_dir() else [images]
    sources = [p for source in annotations for p in annotation_files(source)]
    # Annotations may lie beside the images: they are no stray files.
    findings = [f for f in findings if f.path not in sources]
    for path in files:
        if path.stem in items:
            what = f"{items[path.stem].image.name} has the same name"
            findings.append(Finding("several-images", path, what))
        else:
            items[path.stem] = Item(path.stem, "", path)
    if not items:
        raise DataError(
            f"{images}: expected images ({' '.join(IMAGE_ENDINGS)}), found "
            "none. Check the path."
        )
    for path in sources:
        if path not in files:
            _assign(path, items, findings, kind, attribute)
    return list(items.values()), findings


def _assign(path, items, findings, kind, attribute):
    """Give the annotations of a file to the images that it names."""
    own = items.get(path.stem)
    try:
        found = read_file(path, kind, attribute)
        found = dict(_placed(found, items))
    except DataError as error:
        what = _without_path(error, path)
        findings.append(Finding("bad-annotation", path, what, own))
        if own and not own.labelled:
            own.annotation = Annotation(path)
        return
    for name, annotation in found.items():
        item = items.get(name)
        if item is None:
            what = f"annotates {name}, but there is no such image"
            findings.append(Finding("no-image", path, what))
        elif item.labelled:
            what = f"annotates {name}, as {item.annotation.source.name} does"
            findings.append(Finding("annotated-twice", path, what, item))
        else:
            item.annotation = annotation
            if annotation.error:
                what = _without_path(annotation.error, path)
                findings.append(Finding("bad-annotation", path, what, item))


def _placed(found, items):
    """Annotations by image name, moved from the ground to pixels."""
    for name, annotation in found.items():
        if annotation.crs is None:
            yield name, annotation
        elif name in items or len(items) == 1:
            (only,) = [name] if name in items else items
            yield only, in_pixels(annotation, items[only].image)
        else:
            for other, item in items.items():
                one = in_pixels(annotation, item.image, ground=True)
                if one.instances:
                    yield other, one


def _without_path(error, path):
    """A reason without the path that it begins with."""
    return str(error).removeprefix(str(path)).lstrip(":, ")


# One item --------------------------------------------------------------------


def look_at(item, specks):
    """Look at one image and its annotation.

    Args:
        item: the ``Item``.
        specks: objects of fewer pixels are findings.

    Returns:
        A ``Look``.
    """
    look = Look(item)
    image = _look_at_image(look)
    pieces = _look_at_masks(look)
    if image is None:
        return look
    for piece in pieces:
        look.areas.append((piece.label, piece.area))
    _look_for_overlap(look, pieces)
    _look_for_specks(look, pieces, specks)
    merged = merge(pieces, look.shape)
    for label, mask in merged.items():
        look.covers[label] = int(np.count_nonzero(mask))
    if merged:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        mask = np.logical_or.reduce(list(merged.values()))
        look.edges = _edge_map(grey, mask)
        if item.annotation and look.shape[0] == look.shape[1]:
            look.swapped = _edge_map(grey, mask.T)
    return look


def _look_at_image(look):
    """Read the image, note how it is stored; None if it is unreadable."""
    path = look.item.image
    stored = stored_as(path)
    image = _read(look, path, read_image, stored)
    if image is None:
        return None
    look.shape = image.shape[:2]
    if stored.orientation > 1:
        look.add("exif", path, f"EXIF orientation {stored.orientation}")
    if stored.channels == 4:
        look.add("cmyk", path, "four inks")
    if stored.alpha:
        look.traits["alpha"] = "an alpha channel"
    if stored.channels == 1:
        look.traits["grey"] = "one channel"
    if stored.is_float:
        look.traits["float"] = f"{stored.bits}-bit floats"
    elif stored.bits > 8:
        look.traits["deep"] = f"{stored.bits} bits a channel"
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    look.light, look.contrast = float(grey.mean()), float(grey.std())
    if look.contrast < _FLAT:
        look.add("blank", path, f"grey value {look.light:.0f} everywhere")
    else:
        look.print = fingerprint(image)
    return image


def _read(look, path, reader, stored):
    """Read a file, or note why that is impossible and return None."""
    try:
        return reader(path)
    except DataError as error:
        if path.stat().st_size == 0:
            look.add("empty-file", path, "0 bytes")
        elif stored is None:
            look.add("unreadable", path, "no image, whatever its name says")
        elif stored.channels not in (1, 3, 4):
            look.add("bands", path, f"{stored.channels} bands")
        elif stored.is_float:
            look.add("float", path, "NaN or infinity")
        else:
            look.add("truncated", path, _without_path(error, path))
        return None


def _look_at_masks(look):
    """The pieces of an item; what is wrong with their files is noted."""
    item = look.item
    pieces = []
    for path, label in item.masks or []:
        pieces += _from_file(look, path, label)
    if item.annotation is None:
        return pieces
    _look_at_repairs(look)
    number = 0
    drawn = [
        one for one in item.annotation.instances if isinstance(one, Instance)
    ]
    turned = look.shape is not None and _look_at_frame(look, drawn)
    for one in item.annotation.instances:
        label = one.label or DEFAULT_CLASS
        if isinstance(one, CompleteMask):
            pieces += _from_file(look, one.path, label, complete=True)
            continue
        number += 1
        if look.shape is None:
            continue
        title = f"polygon {number}"
        if isinstance(one, Instance):
            pieces += _from_polygon(look, one, label, title, turned)
        else:
            pieces += _from_drawn(look, one, label, title)
    return pieces


def _from_file(look, path, label, complete=False):
    """The piece that a mask file shows: a list of one, or of none."""
    stored = stored_as(path)
    values = _read(look, path, read_values, stored)
    if values is None:
        return []
    mask = _look_at_values(look, path, values, stored, label)
    if mask is None or look.shape is None:
        return []
    if mask.shape != look.shape:
        mask = _turned_or_none(look, path, mask)
        if mask is None:
            return []
    piece = _cut_out(path, label, path.name, mask)
    if piece is None:
        if not complete:  # there it says: looked at, nothing there
            look.add("empty-mask", path, "all black")
        return []
    share = piece.area / mask.size
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    look.masks.append((path, label, share, float(rim.mean())))
    if share >= _FULL:
        look.add("full-mask", path, f"{share:.1%} of the image")
    return [piece]


def _turned_or_none(look, path, mask):
    """A mask of the unturned photo, turned; None if it fits neither way."""
    stored = stored_as(look.item.image)
    size = "{1} x {0}".format
    if stored.orientation > 4 and mask.shape == stored.shape:
        what = f"{size(*mask.shape)} as the photo before it is turned"
        look.add("exif-mask", path, what)
        return upright(mask, stored.orientation)
    what = f"{size(*mask.shape)}, its image is {size(*look.shape)}"
    look.add("size-mismatch", path, what)
    return None


def _look_at_values(look, path, values, stored, label):
    """The object's pixels (bool H x W), or None if they cannot be told."""
    found, counts = _count(values)
    high = found[-1]
    if stored.format == "JPEG":
        clear = np.minimum(found, high - found) <= _CLEAR
        unclear = counts[~clear].sum() / counts.sum()
        look.add("jpeg-mask", path, f"{unclear:.1%} of the pixels unclear")
        return _thresholded(look, path, values, unclear)
    if len(found) == 1:
        return values > 0
    if values.dtype == np.int64:
        if len(found) == 2 and found[0] == 0:
            return values > 0
        order = np.argsort(-counts)
        named = [
            f"#{found[k]:06X} {counts[k] / counts.sum():.0%}" for k in order
        ]
        look.add("colour-mask", path, _listed(named))
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            look.colours[f"#{value:06X}"] += count
        return None
    if len(found) == 2 and found[0] == 0:
        if high not in (255, 65535):
            look.add("zero-one", path, f"values 0 and {high}")
        return values > 0
    if _are_ids(found):
        look.add("class-ids", path, "values " + _listed(found.tolist()))
        look.ids[path] = found.tolist()
        return None
    clear = np.minimum(found, high - found) <= _CLEAR
    unclear = counts[~clear].sum() / counts.sum()
    what = f"{len(found)} values, {unclear:.1%} of the pixels unclear"
    look.add("grey-mask", path, what)
    return _thresholded(look, path, values, unclear)


def _count(values):
    """Distinct values, sorted, and how often each occurs."""
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(values, return_counts=True)


def _thresholded(look, path, values, unclear):
    """A smeared mask, cut at one half; None if too much of it is unclear."""
    high = values.max()
    if unclear > _UNCLEAR or high <= 2 * _CLEAR:
        look.unclear = path
        return None
    return values > high / 2


def _are_ids(found):
    """Whether the values of a mask are numbers of classes."""
    ids = found[found != 255]
    return ids[-1] < 32 and len(found) > 2


def _listed(values):
    more = ", ..." if len(values) > _NAMED else ""
    return ", ".join(map(str, values[:_NAMED])) + more


def _cut_out(source, label, title, mask, drawn=False):
    """A mask as a piece; None if it is empty."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if not width:
        return None
    crop = mask[top : top + height, left : left + width].copy()
    return Piece(source, label, title, top, left, crop, drawn)


def _look_at_repairs(look):
    """What the reader mended or left out."""
    annotation = look.item.annotation
    for what, count in sorted(annotation.repairs.items()):
        for part, kind in _REPAIRS.items():
            if part in what:
                look.add(kind, annotation.source, f"{what}: {count}")


# Parts of the texts that the readers count.
_REPAIRS = {
    "open ring": "polygon-open",
    "stray point": "stray-points",
    "fewer than three points": "stray-points",
    "line or point": "left-out",
    "unknown kind": "left-out",
    "there is no polygon": "left-out",
}


def _look_at_frame(look, instances):
    """Find annotations that are in the wrong place as a whole.

    Returns:
        bool: they fit the photo before its EXIF tag turns it.
    """
    if not instances:
        return False
    bounds = np.array([one.geometry.bounds for one in instances])
    left, top = bounds[:, :2].min(axis=0)
    right, bottom = bounds[:, 2:].max(axis=0)
    height, width = look.shape
    path = look.item.annotation.source

    def fits(wide, high):
        low = min(left, top) >= -_BEYOND
        return low and right <= wide + _BEYOND and bottom <= high + _BEYOND

    inside = fits(width, height)
    stored = stored_as(look.item.image)
    if not inside and fits(height, width):
        if stored.orientation > 4:
            what = f"reaches to ({right:.0f}, {bottom:.0f}), fits the photo"
            look.add("exif-mask", path, f"{what} before it is turned")
            return True
        what = f"reaches to ({right:.0f}, {bottom:.0f}) on {width} x {height}"
        _misplace(look, f"{what} pixels: x and y are swapped", right, bottom)
    elif inside and max(right, bottom) <= 1 and min(left, top) >= 0:
        what = "all coordinates lie between 0 and 1"
        _misplace(look, what, right, bottom)
    else:
        look.reach = (right / width, bottom / height)
    return False


def _misplace(look, what, right, bottom):
    """Note that an annotation lies in the wrong place as a whole."""
    look.misplaced = True
    size = look.shape[::-1]
    box = (0, 0, *np.clip([right, bottom], 2, size).astype(int).tolist())
    path = look.item.annotation.source
    look.add("corner", path, f"{look.item.name}: {what}", box)


def _from_polygon(look, one, label, title, turned):
    """The piece that a polygon covers: a list of one, or of none."""
    path, shape = look.item.annotation.source, look.shape
    geometry = one.geometry
    if turned:
        stored = stored_as(look.item.image)
        mask = upright(rasterise(geometry, stored.shape), stored.orientation)
        piece = _cut_out(path, label, title, mask, drawn=True)
        return [piece] if piece else []
    name = f"{look.item.name}, {title}"
    low, high = np.reshape(geometry.bounds, (2, 2))
    left, top = np.clip(np.floor(low), 0, None).astype(int)
    right, bottom = np.clip(np.ceil(high), 0, shape[::-1]).astype(int)
    beyond = max(*-low, *(high - shape[::-1]))
    if right <= left or bottom <= top:
        if not look.misplaced:
            look.add("polygon-outside", path, f"{name}: all of it")
        return []
    if beyond > _BEYOND and not look.misplaced:
        what = f"{name}: reaches {beyond:.0f} pixels beyond the border"
        box = (left, top, right, bottom)
        look.add("polygon-outside", path, what, box)
    if _crosses_itself(geometry):
        what = f"{name}: {shapely.is_valid_reason(geometry)}"
        box = (left, top, right, bottom)
        look.add("polygon-crossing", path, what, box)
    moved = affinity.translate(geometry, -left, -top)
    mask = rasterise(moved, (bottom - top, right - left))
    piece = _cut_out(path, label, title, mask, drawn=True)
    if piece is None:
        if not look.misplaced:
            box = (left, top, right, bottom)
            look.add("polygon-tiny", path, f"{name}: covers no pixel", box)
        return []
    piece.top += top
    piece.left += left
    return [piece]


def _crosses_itself(geometry):
    """Whether it matters to the area how the crossings are understood.

    A ring that touches itself in a point, or runs to and fro along a line,
    encloses the same by every rule.
    """
    for one in shapely.get_parts(geometry):
        if shapely.is_valid(one):
            continue
        # Resolving the crossings of a scribble can take for ever.
        if shapely.get_num_coordinates(one) > _SCRIBBLE:
            return True
        if abs(shapely.make_valid(one).area - one.area) >= 1:
            return True
    return False


def _from_drawn(look, one, label, title):
    """The piece of a run-length encoded mask."""
    path = look.item.annotation.source
    try:
        mask = one.mask(look.shape)
    except DataError as error:
        look.add("size-mismatch", path, _without_path(error, path))
        return []
    piece = _cut_out(path, label, title, mask, drawn=True)
    if piece is None:
        look.add("empty-mask", path, f"{look.item.name}, {title}")
        return []
    return [piece]


def pieces_of(item, shape):
    """The objects of an item, silently; for pictures and mended copies."""
    look = Look(item, shape=shape)
    return _look_at_masks(look)


def merge(pieces, shape):
    """bool H x W by class: the pixels that its pieces cover together."""
    merged = {}
    for piece in pieces:
        mask = merged.setdefault(piece.label, np.zeros(shape, bool))
        left, top, right, bottom = piece.box
        mask[top:bottom, left:right] |= piece.crop
    return merged


def _look_for_overlap(look, pieces):
    """Objects that are drawn twice."""
    for i, j, common in overlapping(pieces):
        one, other = pieces[i], pieces[j]
        name = f"{look.item.name}, " if other.drawn else ""
        equal = one.area == other.area == common
        if equal and one.label == other.label:
            kind = "polygon-twice" if other.drawn else "equal-masks"
            what = f"{name}{other.title} is equal to {one.title}"
        elif equal or one.label == other.label:
            kind = "overlap"
            share = common / min(one.area, other.area)
            what = (
                f"{name}{other.title} and {one.title} share {share:.0%} of "
                "the smaller one"
            )
        else:
            continue
        look.add(kind, other.source, what, other.box)


def overlapping(pieces):
    """Pairs of pieces of which the smaller lies mostly in the other.

    Yields:
        (i, j, number of common pixels), i < j.
    """
    boxes = np.array([piece.box for piece in pieces]).reshape(-1, 4)
    areas = np.array([piece.area for piece in pieces])
    for i in range(len(pieces) - 1):
        rest = boxes[i + 1 :]
        low = np.maximum(rest[:, :2], boxes[i, :2])
        high = np.minimum(rest[:, 2:], boxes[i, 2:])
        room = np.clip(high - low, 0, None).prod(axis=1)
        smaller = np.minimum(areas[i + 1 :], areas[i])
        for k in np.flatnonzero(room >= _TWICE * smaller):
            j = i + 1 + int(k)
            common = _common(pieces[i], pieces[j], low[k], high[k])
            if common >= _TWICE * smaller[k]:
                yield i, j, common


def _common(one, other, low, high):
    """Number of common pixels in the window from low to high (x, y)."""
    one, other = (
        piece.crop[
            low[1] - piece.top : high[1] - piece.top,
            low[0] - piece.left : high[0] - piece.left,
        ]
        for piece in (one, other)
    )
    return int(np.count_nonzero(one & other))


def _look_for_specks(look, pieces, specks):
    """Connected parts of fewer pixels, not cut by the image's border."""
    for piece in pieces:
        parts = small_parts(piece, specks, look.shape)
        if not parts:
            continue
        area, box, _ = parts[0]
        if not piece.drawn:
            more = f", and {len(parts) - 1} more" if len(parts) > 1 else ""
            look.add("specks", piece.source, f"a part of {area} px{more}", box)
        elif area == piece.area:  # parts of one polygon may touch nearly
            what = f"{look.item.name}, {piece.title}: {area} px"
            look.add("polygon-tiny", piece.source, what, box)


def small_parts(piece, specks, shape):
    """The connected parts of a piece that are small and lie inside.

    Args:
        piece: a ``Piece``.
        specks: parts of fewer pixels are small.
        shape: (H, W) of the image; what its border cuts is not small.

    Returns:
        List of (area, box, bool array of the shape of ``piece.crop``).
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        piece.crop.astype(np.uint8), connectivity=8
    )
    height, width = shape
    found = []
    for number in range(1, count):
        left, top, wide, high, area = stats[number].tolist()
        left, top = left + piece.left, top + piece.top
        box = (left, top, left + wide, top + high)
        cut = left == 0 or top == 0 or box[2] == width or box[3] == height
        if area < specks and not cut:
            found.append((area, box, labels == number))
    return found


def _edge_map(grey, mask):
    """How well a mask's outline lies on the image's edges, moved a little.

    Args:
        grey: uint8 H x W.
        mask: bool H x W.

    Returns:
        float32 array, (2 R + 1) squared: mean strength of the edges under
        the outline moved by (dy, dx), across the outline; 1 is chance. None
        if the outline is too short to tell.
    """
    scale = min(1.0, _SIDE / max(grey.shape))
    size = [max(1, round(side * scale)) for side in grey.shape]
    grey = cv2.GaussianBlur(resize_image(grey, size), (0, 0), 1)
    mask = resize_image(mask.astype(np.float32), size)
    padded = cv2.copyMakeBorder(grey, *[_REACH] * 4, cv2.BORDER_REFLECT_101)
    total, length = 0.0, 0.0
    for dx, dy in ((1, 0), (0, 1)):
        outline = np.abs(cv2.Scharr(mask, cv2.CV_32F, dx, dy)) / 32
        outline[[0, -1]] = 0
        outline[:, [0, -1]] = 0
        edges = np.abs(cv2.Scharr(padded, cv2.CV_32F, dx, dy))
        edges = np.minimum(edges, np.percentile(edges[::2, ::2], 98))
        edges /= max(float(edges.mean()), 1e-6)
        total = total + cv2.matchTemplate(edges, outline, cv2.TM_CCORR)
        length += float(outline.sum())
    return total / length if length >= 40 else None


# All of them ----------------------------------------------------------------


def check(root, items, specks, progress):
    """Look at every item, and compare them with each other.

    Args:
        root: the directory that is blamed for what is wrong with the set.
        items: of ``tree_items`` or ``raw_items``.
        specks: objects of fewer pixels are findings.
        progress: function ``(iterable, total, title)``.

    Returns:
        (looks, findings): the findings in the order in which they were found.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(partial(look_at, specks=specks), items)
        looks = list(progress(results, len(items), "Looking"))
    findings = [finding for look in looks for finding in look.findings]
    for compare in (
        _compare_labelling,
        _compare_traits,
        _compare_sizes,
        _compare_inversion,
        _compare_ids,
        _compare_labels,
        _compare_classes,
        _compare_places,
        _compare_edges,
        _compare_pictures,
    ):
        findings += compare(root, looks)
    return looks, findings


def _by_side(looks):
    sides = defaultdict(list)
    for look in looks:
        sides[look.item.side].append(look)
    return sides


def _place(root, side):
    return root / side if side else root


def _compare_labelling(root, looks):
    """Images that nobody has annotated, where others are."""
    for side, members in _by_side(looks).items():
        labelled = [look for look in members if look.item.labelled]
        objects = any(
            look.item.masks
            or (look.item.annotation or Annotation(root)).instances
            for look in labelled
        )
        # Test images without truth are there to be predicted.
        if not objects and side != "test":
            what = f"{len(members)} images, {len(labelled)} of them labelled"
            yield Finding("nothing-labelled", _place(root, side), what)
        elif labelled:
            for look in members:
                if not look.item.labelled:
                    what = "not annotated"
                    yield Finding("no-masks", look.item.image, what, look.item)


def _compare_traits(root, looks):
    """Alpha, grey and depth: by file, or once where all images are alike."""
    seen = [look for look in looks if look.shape]
    for kind in ("alpha", "grey", "deep", "float"):
        having = [look for look in seen if kind in look.traits]
        if len(having) < max(len(seen), 2):
            for look in having:
                yield Finding(
                    kind, look.item.image, look.traits[kind], look.item
                )
        elif kind != "grey":  # all grey is a choice
            what = f"all {len(having)} images: {having[0].traits[kind]}"
            yield Finding(kind, root, what, others=_items(having))


def _items(looks):
    return [look.item for look in looks]


def _compare_sizes(root, looks):
    """Images much larger or smaller than the middle half of all."""
    seen = [look for look in looks if look.shape]
    if len(seen) < 4:
        return
    sides = np.sort([look.shape for look in seen], axis=1)
    low, high = np.quantile(sides, [0.25, 0.75], axis=0)
    odd = ((sides * _ODD < low) | (sides > high * _ODD)).any(axis=1)
    usual = np.median([look.shape for look in seen], axis=0)
    for look, is_odd in zip(seen, odd, strict=True):
        if is_odd:
            what = (
                f"{look.shape[1]} x {look.shape[0]}, usual are {usual[1]:.0f} "
                f"x {usual[0]:.0f}"
            )
            yield Finding("odd-size", look.item.image, what, look.item)


def _compare_inversion(root, looks):
    """Masks that show the ground where the others show objects."""
    shares = defaultdict(list)
    for look in looks:
        for _, label, share, _ in look.masks:
            shares[label].append(share)
    for look in looks:
        for path, label, share, rim in look.masks:
            usual = float(np.median(shares[label]))
            if 0.5 < share < _FULL and rim > 0.7 and usual < 0.3:
                what = f"{share:.0%} of the image, the others {usual:.0%}"
                yield Finding("inverted", path, what, look.item)


def _compare_ids(root, looks):
    """Class ids beyond those of the other masks; objects without a class."""
    files = Counter(
        value for look in looks for ids in look.ids.values() for value in ids
    )
    known = [value for value, count in files.items() if count > 1]
    largest = max((value for value in known if value != 255), default=255)
    named = {
        look.item.annotation.source
        for look in looks
        if look.item.annotation
        and any(one.label for one in look.item.annotation.instances)
    }
    for look in looks:
        for path, ids in look.ids.items():
            beyond = [value for value in ids if value > largest]
            if beyond:
                what = f"id {_listed(beyond)}, other masks go to {largest}"
                yield Finding("class-range", path, what, look.item)
        annotation = look.item.annotation
        if annotation and annotation.source in named:
            count = sum(one.label is None for one in annotation.instances)
            if count:
                what = f"{look.item.name}: {count} objects without a class"
                yield Finding("class-range", annotation.source, what, look.item)


def _labels(item):
    """(file or class folder, class) of an item, each once."""
    pairs = {(path.parent, label) for path, label in item.masks or []}
    if item.annotation:
        pairs |= {
            (item.annotation.source, one.label)
            for one in item.annotation.instances
            if one.label
        }
    return sorted(pairs)


def spellings(looks):
    """The usual spelling of every class that is written in several ways.

    Returns:
        dict from each unusual spelling to the most frequent one.
    """
    counts = Counter(label for look in looks for _, label in _labels(look.item))
    groups = defaultdict(list)
    for label, _ in counts.most_common():
        groups[label.casefold().translate(_SPELLINGS)].append(label)
    return {other: usual for usual, *rest in groups.values() for other in rest}


def _compare_labels(root, looks):
    unusual = spellings(looks)
    seen = set()
    for look in looks:
        for path, label in _labels(look.item):
            if label in unusual and (path, label) not in seen:
                seen.add((path, label))
                what = f"{label!r}, elsewhere {unusual[label]!r}"
                yield Finding("spelling", path, what, look.item)


def class_pixels(looks):
    """Pixels by class of every look; by colour where most masks have those.

    Classes that are spelt in several ways count as one.
    """
    coloured = sum(bool(look.colours) for look in looks)
    if 2 * coloured > len(looks):
        return [look.colours for look in looks]
    unusual = spellings(looks)
    result = []
    for look in looks:
        united = Counter()
        for label, pixels in look.covers.items():
            united[unusual.get(label, label)] += pixels
        result.append(united)
    return result


def _compare_classes(root, looks):
    """Classes that are rare, or that only one side has."""
    labelled = [look for look in looks if look.shape and look.item.labelled]
    total, having = Counter(), defaultdict(list)
    sides = defaultdict(set)
    for look, covers in zip(labelled, class_pixels(labelled), strict=True):
        total += covers
        for label in covers:
            having[label].append(look)
            sides[look.item.side].add(label)
    most = max(total.values(), default=0)
    for label, pixels in sorted(total.items()):
        if pixels < _RARE * most:
            what = (
                f"{label}: {pixels / most:.2%} of the pixels of the most "
                f"frequent class, in {len(having[label])} of "
                f"{len(labelled)} images"
            )
            yield Finding(
                "rare-class", root, what, others=_items(having[label])
            )
    if len(sides) == 2:
        for side, other in (("train", "test"), ("test", "train")):
            for label in sorted(sides[side] - sides[other]):
                what = f"{label}: in {side}, not in {other}"
                yield Finding("one-sided", root / other, what)


def _compare_places(root, looks):
    """Polygons of a whole set, or of an image, crowded in one corner."""
    placed = [look for look in looks if look.reach]
    if len(placed) >= 5:
        reach = np.max([look.reach for look in placed], axis=0)
        if (reach < 0.7).all():
            what = (
                f"the polygons of {len(placed)} images reach to {reach[0]:.0%} "
                f"of the width and {reach[1]:.0%} of the height"
            )
            for look in placed:
                look.misplaced = True
            yield Finding("corner", root, what, others=_items(placed))
            return
    for look in placed:
        crowded = len(look.areas) >= 4 and max(look.reach) <= 0.5
        if crowded and look.edges is not None and _near(look.edges) < _CHANCE:
            yield _cornered(look, "all polygons lie in one corner")


def _cornered(look, what):
    look.misplaced = True
    path = look.item.annotation.source
    return Finding("corner", path, f"{look.item.name}: {what}", look.item)


def _near(edges):
    """How well outlines lie on edges when moved by one pixel at most."""
    middle = slice(_REACH - 1, _REACH + 2)
    return float(edges[middle, middle].max())


def _compare_edges(root, looks):
    """Outlines that lie on edges only when they are moved, or turned over."""
    for side, members in _by_side(looks).items():
        seen = [
            look
            for look in members
            if look.edges is not None and not look.misplaced
        ]
        turned = [look for look in seen if look.swapped is not None]
        if len(turned) >= _ENOUGH:
            as_is = _near(np.mean([look.edges for look in turned], axis=0))
            swapped = _near(np.mean([look.swapped for look in turned], axis=0))
            if swapped > 1.2 * as_is:
                what = f"outlines fit edges with x and y swapped ({swapped:.1f}"
                what += f" times chance, as they are {as_is:.1f})"
                for look in turned:
                    look.misplaced = True
                yield Finding("corner", root, what, others=_items(turned))
                continue
        for look in turned:
            if _near(look.swapped) > _SWAPPED * _near(look.edges):
                what = "the outlines fit the image's edges if x and y are"
                yield _cornered(look, f"{what} swapped")
        seen = [look for look in seen if not look.misplaced]
        if len(seen) >= _ENOUGH:
            pooled = np.mean([look.edges for look in seen], axis=0)
            move = _better_place(pooled, 1.05, 2, 0)
            if move:
                what = f"all of them: {_move(move, seen[0])}"
                yield Finding(
                    "shifted", _place(root, side), what, others=_items(seen)
                )
                continue
        for look in seen:
            move = _better_place(look.edges, 1.4, 3, 3.5)
            if move:
                source = _source(look.item)
                what = _move(move, look)
                yield Finding("shifted", source, what, look.item)


def _source(item):
    """What to blame for an item's labels."""
    if item.annotation:
        return item.annotation.source
    paths = [path for path, _ in item.masks]
    return paths[0] if len(paths) == 1 else item.image.parents[1] / "masks"


def _better_place(edges, gain, least, clear):
    """(dx, dy) where outlines fit the edges better, or None.

    Args:
        edges: of ``_edge_map``.
        gain: how many times better.
        least: distance in its pixels.
        clear: by how many standard deviations it must stand out.
    """
    row, column = np.unravel_index(edges.argmax(), edges.shape)
    dx, dy = int(column) - _REACH, int(row) - _REACH
    best = float(edges.max())
    stands_out = best - edges.mean() >= clear * edges.std()
    better = best >= gain * _near(edges) and stands_out
    return (dx, dy) if better and np.hypot(dx, dy) >= least else None


def _move(move, look):
    """A move in words, in pixels of the image."""
    scale = max(1.0, max(look.shape) / _SIDE)
    dx, dy = (round(step * scale) for step in move)
    across = f"{abs(dx)} px to the {'right' if dx > 0 else 'left'}"
    along = f"{abs(dy)} px {'down' if dy > 0 else 'up'}"
    named = [text for text, step in ((across, dx), (along, dy)) if step]
    return f"the outlines would fit the edges {' and '.join(named)}"


def _compare_pictures(root, looks):
    """Nearly the same picture twice."""
    seen = [look for look in looks if look.print is not None]
    copies = set()
    for i, j in near_copies([look.print for look in seen]):
        one, other = seen[i].item, seen[j].item
        if other.side == "train" and one.side == "test":
            one, other = other, one
        if other.image in copies or not _alike(one.image, other.image):
            continue
        copies.add(other.image)
        kind = "near-copy" if one.side == other.side else "leak"
        what = f"nearly the same as {one.image}"
        yield Finding(kind, other.image, what, other, others=[one])


def _alike(one, other):
    """Whether two images still correlate when bare ground would not."""
    pictures = [
        cv2.cvtColor(
            resize_image(read_image(path), (64, 64)), cv2.COLOR_RGB2GRAY
        )
        for path in (one, other)
    ]
    pair = np.stack([picture.ravel() for picture in pictures]).astype(float)
    return float(np.corrcoef(pair)[0, 1]) >= _CORRELATED
