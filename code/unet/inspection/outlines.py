"""What polygons show, and what is wrong with them."""

import numpy as np
import shapely

from unet.annotations.repairs import Repair
from unet.files.folders import DEFAULT_CLASS
from unet.imagery.turns import upright
from unet.inspection.pieces import cut_out

_BEYOND = 2.0  # pixels outside the frame that are no slip of the hand
_SCRIBBLE = 2000  # points


def look_at_repairs(look):
    """What the reader mended or left out."""
    annotation = look.item.annotation
    for repair, count in sorted(annotation.repairs.items()):
        if repair in _REPAIRS:
            kind = _REPAIRS[repair]
            look.add(kind, annotation.source, f"{repair}: {count}")


# Repairs that are findings, and of which kind.
_REPAIRS = {
    Repair.OPEN_RING: "polygon-open",
    Repair.STRAY_POINT: "stray-points",
    Repair.SHORT_RING: "stray-points",
    Repair.NO_AREA: "left-out",
    Repair.UNKNOWN_SHAPE: "left-out",
    Repair.ONLY_BOX: "left-out",
    Repair.OUTSIDE: "polygon-outside",
    Repair.OUTSIDE_ALL: "polygon-outside",
}


def look_at_frame(look, instances):
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
    bounds = [one.geometry.bounds for one in instances if one.is_polygon]
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


def _misplace(look, what, right, bottom):
    """Note that an annotation lies in the wrong place as a whole."""
    look.misplaced = True
    size = look.shape[::-1]
    box = (0, 0, *np.clip([right, bottom], 2, size).astype(int).tolist())
    path = look.item.annotation.source
    look.add("corner", path, f"{look.item.name}: {what}", box)


def from_instance(look, one, title):
    """The piece of an annotation's object: a list of one, or of none."""
    path, label = look.item.annotation.source, one.label or DEFAULT_CLASS
    if look.turned:
        stored = look.item.stored()
        mask = upright(one.mask(stored.shape), stored.orientation)
        piece = cut_out(path, label, title, mask, one.is_polygon)
        return [piece] if piece else []
    if one.is_polygon and not look.misplaced:
        _look_at_outline(look, one.geometry, title)
    window, top, left = one.window(look.shape)
    piece = cut_out(path, label, title, window, one.is_polygon)
    if piece is None:
        inside = one.is_polygon and window.size
        if inside and not look.misplaced:
            box = (left, top, left + window.shape[1], top + len(window))
            what = f"{look.item.name}, {title}: covers no pixel"
            look.add("polygon-tiny", path, what, box)
        elif not one.is_polygon:
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
