"""What can be seen of one image and its annotation.

An object is a ``Piece``, whether it was a mask file or a polygon.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import shapely

from unet.annotations import Instance
from unet.complete import above
from unet.defects import Finding, Item, listed, reason_of
from unet.folders import DEFAULT_CLASS, DataError
from unet.formats import FORMATS
from unet.images import (
    fingerprint,
    read_values,
    resize_image,
    stored_as,
    upright,
)

# Thresholds, silent on the sample data and mostly right on real tiles.
FULL = 0.999  # share of the pixels
_TWICE = 0.5  # of the smaller object's pixels lie in the other
_BEYOND = 2.0  # pixels outside the frame that are no slip of the hand
_SCRIBBLE = 2000  # points
_FLAT = 1.0  # grey levels of standard deviation
_CLEAR = 40  # grey levels from 0 or from the largest: smeared, but clear
_UNCLEAR = 0.05  # share of the pixels that are not clear
SWAPPED = 1.6  # times better than as they are: turned or swapped
REACH = 12  # pixels that labels are moved to find the image's edges
SIDE = 256  # longest side on which edges are compared


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
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    pieces = _compare_orientations(look, grey, pieces)
    for piece in pieces:
        look.areas.append((piece.label, piece.area))
    _look_for_overlap(look, pieces)
    _look_for_specks(look, pieces, specks)
    merged = merge(pieces, look.shape)
    for label, mask in merged.items():
        look.covers[label] = int(np.count_nonzero(mask))
    masks = list(merged.values())
    look.edges = _edge_map(grey, masks)
    if item.annotation and look.shape[0] == look.shape[1]:
        look.swapped = _edge_map(grey, [mask.T for mask in masks])
    return look


def _compare_orientations(look, grey, pieces):
    """Find annotations of the unturned photo that fit its size both ways.

    Returns:
        The pieces as they fit the photo's edges.
    """
    item = look.item
    if item.turned or look.misplaced or not pieces:
        return pieces
    if item.stored().orientation == 1:
        return pieces
    item.turned = True
    turned = pieces_of(item, look.shape)
    as_is, better = (
        _edge_map(grey, list(merge(found, look.shape).values()))
        for found in (pieces, turned)
    )
    if as_is is None or better is None or near(better) < SWAPPED * near(as_is):
        item.turned = False
        return pieces
    look.findings = [
        one for one in look.findings if one.kind != "polygon-outside"
    ]
    what = "fits the edges of the photo before it is turned"
    for path in dict.fromkeys(piece.source for piece in pieces):
        look.add("exif-mask", path, what)
    return turned


def _look_at_image(look):
    """Read the image, note how it is stored; None if it is unreadable."""
    path = look.item.image
    stored = look.item.stored()
    image = _read(look, path, look.item.read, stored)
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
        return reader()
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
            look.add("truncated", path, reason_of(error, path))
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
    if look.shape is None:
        return pieces
    instances = item.annotation.instances
    item.turned = item.turned or _look_at_frame(look, instances)
    for number, one in enumerate(instances, start=1):
        pieces += _from_instance(look, one, f"object {number}")
    return pieces


def _from_file(look, path, label):
    """The pieces that a mask file shows: one, or one for every colour."""
    stored = stored_as(path)
    rules = look.item.rules
    reader = partial(read_values, path, rules.limits.pixels)
    seen = _read(look, path, reader, stored)
    if seen is None:
        return []
    values, kind = seen
    item = look.item
    if item.complete and (kind != "grey" or rules.colours):
        return _from_colours(look, path)
    if item.complete and rules.threshold is not None:
        mask = above(values, rules.threshold)
    else:
        mask = _look_at_values(look, path, values, stored)
    if mask is None or look.shape is None:
        return []
    mask = _fitted(look, path, mask)
    if mask is None:
        return []
    piece = _cut_out(path, label, path.name, mask)
    if piece is None:
        if not item.complete:
            look.add("empty-mask", path, "all black")
        return []
    share = piece.area / mask.size
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    look.masks.append((path, label, share, float(rim.mean())))
    if share >= FULL:
        look.add("full-mask", path, f"{share:.1%} of the image")
    return [piece]


def _from_colours(look, path):
    """The pieces of a complete mask in colours: one for every class."""
    try:
        (found,) = FORMATS["masks"].read(path, path, look.item.rules).values()
    except DataError as error:
        look.add("colour-mask", path, reason_of(error, path))
        return []
    pieces = []
    for one in found.instances if look.shape else []:
        mask = _fitted(look, path, one.mask(found.size))
        if mask is None:
            return []
        label = one.label or DEFAULT_CLASS
        pieces.append(_cut_out(path, label, path.name, mask))
    return pieces


def _fitted(look, path, mask):
    """A mask of the image's size; None if it fits neither way round."""
    if mask.shape == look.shape and not look.item.turned:
        return mask
    stored = look.item.stored()
    if look.item.turned and mask.shape == stored.shape:
        return upright(mask, stored.orientation)
    size = "{1} x {0}".format
    if stored.orientation > 4 and mask.shape == stored.shape:
        what = f"{size(*mask.shape)} as the photo before it is turned"
        look.add("exif-mask", path, what)
        return upright(mask, stored.orientation)
    what = f"{size(*mask.shape)}, its image is {size(*look.shape)}"
    look.add("size-mismatch", path, what)
    return None


def _look_at_values(look, path, values, stored):
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
        look.add("colour-mask", path, listed(named))
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            look.colours[f"#{value:06X}"] += count
        return None
    if len(found) == 2 and found[0] == 0:
        if high not in (255, 65535):
            look.add("zero-one", path, f"values 0 and {high}")
        return values > 0
    if _are_ids(found):
        look.add("class-ids", path, "values " + listed(found.tolist()))
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
    "outside its image": "polygon-outside",
    "outside all images": "polygon-outside",
}


def _look_at_frame(look, instances):
    """Find annotations that are in the wrong place as a whole.

    Returns:
        bool: they fit the photo before its EXIF tag turns it.
    """
    annotation, (height, width) = look.item.annotation, look.shape
    stored = look.item.stored()
    is_turned = stored.orientation > 4
    size = "{1} x {0}".format
    if annotation.size not in (None, look.shape):
        what = f"made for {size(*annotation.size)} pixels"
        if is_turned and annotation.size == stored.shape:
            what += ", the photo before it is turned"
            look.add("exif-mask", annotation.source, what)
            return True
        look.misplaced = True
        what += f", the image has {size(*look.shape)}"
        look.add("size-mismatch", annotation.source, what)
        return False
    bounds = [one.geometry.bounds for one in instances if _is_drawn(one)]
    if not bounds:
        return False
    left, top = np.min(bounds, axis=0)[:2]
    right, bottom = np.max(bounds, axis=0)[2:]

    def fits(wide, high):
        low = min(left, top) >= -_BEYOND
        return low and right <= wide + _BEYOND and bottom <= high + _BEYOND

    inside = fits(width, height)
    if not inside and fits(height, width):
        what = f"reaches to ({right:.0f}, {bottom:.0f}) on {size(*look.shape)}"
        if is_turned:
            what += " pixels, fits the photo before it is turned"
            look.add("exif-mask", annotation.source, what)
            return True
        _misplace(look, f"{what} pixels: x and y are swapped", right, bottom)
    elif inside and max(right, bottom) <= 1 and min(left, top) >= 0:
        what = "all coordinates lie between 0 and 1"
        _misplace(look, what, right, bottom)
    else:
        look.reach = (right / width, bottom / height)
    return False


def _is_drawn(one):
    return isinstance(one, Instance)


def _misplace(look, what, right, bottom):
    """Note that an annotation lies in the wrong place as a whole."""
    look.misplaced = True
    size = look.shape[::-1]
    box = (0, 0, *np.clip([right, bottom], 2, size).astype(int).tolist())
    path = look.item.annotation.source
    look.add("corner", path, f"{look.item.name}: {what}", box)


def _from_instance(look, one, title):
    """The piece of an annotation's object: a list of one, or of none."""
    path, label = look.item.annotation.source, one.label or DEFAULT_CLASS
    if look.item.turned:
        stored = look.item.stored()
        mask = upright(one.mask(stored.shape), stored.orientation)
        piece = _cut_out(path, label, title, mask, drawn=True)
        return [piece] if piece else []
    if _is_drawn(one) and not look.misplaced:
        _look_at_outline(look, one.geometry, title)
    window, top, left = one.window(look.shape)
    piece = _cut_out(path, label, title, window, drawn=True)
    if piece is None:
        inside = _is_drawn(one) and window.size
        if inside and not look.misplaced:
            box = (left, top, left + window.shape[1], top + len(window))
            what = f"{look.item.name}, {title}: covers no pixel"
            look.add("polygon-tiny", path, what, box)
        elif not _is_drawn(one):
            look.add("empty-mask", path, f"{look.item.name}, {title}")
        return []
    piece.top += top
    piece.left += left
    return [piece]


def _look_at_outline(look, geometry, title):
    """Polygons that leave the image, or cross themselves."""
    path, name = look.item.annotation.source, f"{look.item.name}, {title}"
    size = look.shape[::-1]
    low, high = np.reshape(geometry.bounds, (2, 2))
    beyond = max(*-low, *(high - size))
    if (low >= size).any() or (high <= 0).any():
        look.add("polygon-outside", path, f"{name}: all of it")
        return
    corners = np.clip([*np.floor(low), *np.ceil(high)], 0, [*size, *size])
    box = tuple(corners.astype(int).tolist())
    if beyond > _BEYOND:
        what = f"{name}: reaches {beyond:.0f} pixels beyond the border"
        look.add("polygon-outside", path, what, box)
    if _crosses_itself(geometry):
        what = f"{name}: {shapely.is_valid_reason(geometry)}"
        look.add("polygon-crossing", path, what, box)


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
    frames = shapely.box(*boxes.T)
    tree = shapely.STRtree(frames)
    for i, frame in enumerate(frames):
        rest = np.sort(tree.query(frame))
        rest = rest[rest > i]
        low = np.maximum(boxes[rest, :2], boxes[i, :2])
        high = np.minimum(boxes[rest, 2:], boxes[i, 2:])
        room = np.clip(high - low, 0, None).prod(axis=1)
        smaller = np.minimum(areas[rest], areas[i])
        for k in np.flatnonzero(room >= _TWICE * smaller):
            j = int(rest[k])
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
    by_file = {}
    for piece in pieces:
        parts = small_parts(piece, specks, look.shape)
        if not piece.drawn:
            by_file.setdefault(piece.source, []).extend(parts)
        # Parts of one polygon may touch nearly.
        elif parts and parts[0][0] == piece.area:
            what = f"{look.item.name}, {piece.title}: {piece.area} px"
            look.add("polygon-tiny", piece.source, what, parts[0][1])
    for path, parts in by_file.items():
        if parts:
            area, box, _ = min(parts, key=lambda part: part[0])
            more = f", and {len(parts) - 1} more" if len(parts) > 1 else ""
            look.add("specks", path, f"a part of {area} px{more}", box)


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


def _edge_map(grey, masks):
    """How well the outlines of masks lie on the image's edges, moved a little.

    Args:
        grey: uint8 H x W.
        masks: list of bool H x W.

    Returns:
        float32 array, (2 R + 1) squared: mean strength of the edges under
        the outline moved by (dy, dx), across the outline; 1 is chance. None
        if the outline is too short to tell.
    """
    if not masks:
        return None
    scale = min(1.0, SIDE / max(grey.shape))
    size = [max(1, round(side * scale)) for side in grey.shape]
    grey = cv2.GaussianBlur(resize_image(grey, size), (0, 0), 1)
    masks = [resize_image(mask.astype(np.float32), size) for mask in masks]
    padded = cv2.copyMakeBorder(grey, *[REACH] * 4, cv2.BORDER_REFLECT_101)
    total, length = 0.0, 0.0
    for dx, dy in ((1, 0), (0, 1)):
        outline = sum(
            np.abs(cv2.Scharr(mask, cv2.CV_32F, dx, dy)) / 32 for mask in masks
        )
        outline[[0, -1]] = 0
        outline[:, [0, -1]] = 0
        edges = np.abs(cv2.Scharr(padded, cv2.CV_32F, dx, dy))
        edges = np.minimum(edges, np.percentile(edges[::2, ::2], 98))
        edges /= max(float(edges.mean()), 1e-6)
        total = total + cv2.matchTemplate(edges, outline, cv2.TM_CCORR)
        length += float(outline.sum())
    return total / length if length >= 40 else None


def near(edges):
    """How well outlines lie on edges when moved by one pixel at most."""
    middle = slice(REACH - 1, REACH + 2)
    return float(edges[middle, middle].max())
