"""What polygons show, and what is wrong with them."""

import numpy as np
import shapely

from unet.annotations.repairs import Repair
from unet.files.folders import DEFAULT_CLASS
from unet.imagery.turns import upright
from unet.inspection.pieces import cut_out

_BEYOND = 2.0  # pixels outside the frame that are no slip of the hand
_SCRIBBLE = 2000  # points


def look_at_repairs(exam):
    """What the reader mended or left out."""
    annotation = exam.item.annotation
    for repair, count in sorted(annotation.repairs.items()):
        if repair in _REPAIRS:
            kind = _REPAIRS[repair]
            exam.add(kind, annotation.source, f"{repair}: {count}")


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


def look_at_frame(exam, instances):
    """Find annotations that are in the wrong place as a whole.

    Returns:
        bool: they fit the photo before its EXIF tag turns it.
    """
    annotation, (height, width) = exam.item.annotation, exam.shape
    stored = exam.item.stored()
    is_turned = stored.orientation > 4
    size = "{1} x {0}".format
    if annotation.size not in (None, exam.shape):
        detail = f"made for {size(*annotation.size)} pixels"
        if is_turned and annotation.size == stored.shape:
            detail += ", the photo before it is turned"
            exam.add("exif-mask", annotation.source, detail)
            return True
        exam.misplaced = True
        detail += f", the image has {size(*exam.shape)}"
        exam.add("size-mismatch", annotation.source, detail)
        return False
    bounds = [
        instance.geometry.bounds
        for instance in instances
        if instance.is_polygon
    ]
    if not bounds:
        return False
    left, top = np.min(bounds, axis=0)[:2]
    right, bottom = np.max(bounds, axis=0)[2:]

    def fits(wide, high):
        low = min(left, top) >= -_BEYOND
        return low and right <= wide + _BEYOND and bottom <= high + _BEYOND

    inside = fits(width, height)
    if not inside and fits(height, width):
        detail = (
            f"reaches to ({right:.0f}, {bottom:.0f}) on {size(*exam.shape)}"
        )
        if is_turned:
            detail += " pixels, fits the photo before it is turned"
            exam.add("exif-mask", annotation.source, detail)
            return True
        _misplace(exam, f"{detail} pixels: x and y are swapped", right, bottom)
    elif inside and max(right, bottom) <= 1 and min(left, top) >= 0:
        detail = "all coordinates lie between 0 and 1"
        _misplace(exam, detail, right, bottom)
    else:
        exam.reach = (right / width, bottom / height)
    return False


def _misplace(exam, detail, right, bottom):
    """Note that an annotation lies in the wrong place as a whole."""
    exam.misplaced = True
    size = exam.shape[::-1]
    box = (0, 0, *np.clip([right, bottom], 2, size).astype(int).tolist())
    path = exam.item.annotation.source
    exam.add("corner", path, f"{exam.item.name}: {detail}", box)


def from_instance(exam, instance, title):
    """The piece of an annotation's object: a list of one, or of none."""
    path, label = exam.item.annotation.source, instance.label or DEFAULT_CLASS
    if exam.turned:
        stored = exam.item.stored()
        mask = upright(instance.mask(stored.shape), stored.orientation)
        piece = cut_out(path, label, title, mask, instance.is_polygon)
        return [piece] if piece else []
    if instance.is_polygon and not exam.misplaced:
        _look_at_outline(exam, instance.geometry, title)
    window, top, left = instance.window(exam.shape)
    piece = cut_out(path, label, title, window, instance.is_polygon)
    if piece is None:
        inside = instance.is_polygon and window.size
        if inside and not exam.misplaced:
            box = (left, top, left + window.shape[1], top + len(window))
            detail = f"{exam.item.name}, {title}: covers no pixel"
            exam.add("polygon-tiny", path, detail, box)
        elif not instance.is_polygon:
            exam.add("empty-mask", path, f"{exam.item.name}, {title}")
        return []
    piece.top += top
    piece.left += left
    return [piece]


def _look_at_outline(exam, geometry, title):
    """Polygons that leave the image, or cross themselves."""
    path, name = exam.item.annotation.source, f"{exam.item.name}, {title}"
    size = exam.shape[::-1]
    low, high = np.reshape(geometry.bounds, (2, 2))
    beyond = max(*-low, *(high - size))
    if (low >= size).any() or (high <= 0).any():
        exam.add("polygon-outside", path, f"{name}: all of it")
        return
    corners = np.clip([*np.floor(low), *np.ceil(high)], 0, [*size, *size])
    box = tuple(corners.astype(int).tolist())
    if beyond > _BEYOND:
        detail = f"{name}: reaches {beyond:.0f} pixels beyond the border"
        exam.add("polygon-outside", path, detail, box)
    if _crosses_itself(geometry):
        detail = f"{name}: {shapely.is_valid_reason(geometry)}"
        exam.add("polygon-crossing", path, detail, box)


def _crosses_itself(geometry):
    """Whether it matters to the area how the crossings are understood.

    A ring that touches itself in a point, or runs to and fro along a line,
    encloses the same by every rule.
    """
    for part in shapely.get_parts(geometry):
        if shapely.is_valid(part):
            continue
        # Resolving the crossings of a scribble can take for ever.
        if shapely.get_num_coordinates(part) > _SCRIBBLE:
            return True
        if abs(shapely.make_valid(part).area - part.area) >= 1:
            return True
    return False
