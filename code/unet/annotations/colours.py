"""Complete masks: files that already show every object of an image.

Black is background; everything else is told apart by its value or colour.
"""

import re
from pathlib import Path

import numpy as np

from unet.annotations.annotation import Annotation
from unet.annotations.shapes import clean, find_key
from unet.files.csv_tables import read_table
from unet.files.errors import DataError
from unet.files.folders import BACKGROUND, IGNORE
from unet.geometry.instances import PixelInstance, packed_of
from unet.imagery.mask_values import read_values
from unet.imagery.rasters import no_data

# More are no classes: a photo, or colours that JPEG or resizing mixed.
_MOST_COLOURS = 64
# Pascal VOC's border around objects, index 255 of its palette: nobody knows.
VOID = 0xE0E0C0
_NAMES = ("class", "label", "name", "title", "category", "class_name")
_COLOURS = (
    "colour",
    "color",
    "hex",
    "rgb",
    "color_rgb",
    "value",
    "id",
    "index",
)
_CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))


def read_complete_mask(path, _, rules):
    """Take a mask image, called like its image, as the whole annotation.

    Grey masks of two values are one class without a name. Colours, of a
    palette or not, are a class each: named by ``rules.colours``, or else by
    themselves (``#3C1098``). A grey mask of several values needs
    ``rules.threshold`` or ``rules.colours``. Of the void of Pascal VOC's
    palette, and of a raster's no-data, nobody knows the class.

    Returns:
        {image name: Annotation} with one ``PixelInstance`` a class.

    Raises:
        DataError: the mask is unreadable, or nobody can know what it means.
    """
    path = Path(path)
    values, pixel_type = read_values(path, rules.limits.pixels)
    annotation = Annotation(path, size=values.shape)
    unknown = no_data(path, values.shape, is_mask=True)
    values = np.where(unknown, 0, values) if unknown.any() else values
    for pixels, label in value_classes(values, pixel_type, path, rules):
        annotation.instances.append(PixelInstance(packed_of(pixels), label))
    if unknown.any():
        annotation.instances.append(PixelInstance(packed_of(unknown), IGNORE))
    return {path.stem: annotation}


def value_classes(values, pixel_type, path, rules):
    """Yield (bool array H x W, label) of each class in a mask.

    Args:
        values, pixel_type: of ``unet.imagery.mask_values.read_values``; a mask
            that is read in parts may give all values that it has at once.
        path: named in errors.
        rules: see ``read_complete_mask``.
    """
    import pandas as pd  # slow to import

    values_there = sorted(pd.unique(values.ravel()).tolist())
    if rules.colours is not None:
        yield from _named(values, pixel_type, values_there, path, rules.colours)
        return
    if pixel_type == "grey" and rules.threshold is not None:
        mask = above(values, rules.threshold)
        if mask.any():
            yield mask, None
        return
    objects = [value for value in values_there if value]
    if pixel_type == "palette" and VOID in objects:
        objects.remove(VOID)
        yield values == VOID, IGNORE
    if len(objects) > (1 if pixel_type == "grey" else _MOST_COLOURS):
        _refuse(objects, pixel_type, path)
    for value in objects:
        label = None if pixel_type == "grey" else f"#{value:06X}"
        yield values == value, label


def above(values, threshold):
    """The object of a grey mask: a share of white or more; 1 in masks of 0, 1.

    Args:
        values: H x W, of the file's dtype.
        threshold: 0 to 1.

    Returns:
        bool H x W.
    """
    most = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    if values.max() <= 1:
        most = 1
    return (values >= threshold * most) & (values > 0)


def _named(values, pixel_type, values_there, path, colours):
    """Yield (bool array, class) of the colours in a table."""
    codes = {value: value for value in values_there}
    if pixel_type == "grey":
        codes = {value: value * 0x010101 for value in values_there}
    unknown = [v for v, code in codes.items() if code not in colours and v]
    if unknown:
        raise DataError(
            f"{path}: expected the colours that were named, found "
            f"{_listed(unknown, pixel_type)} as well. Add them (without a "
            "class they are background, with the class ignore they count "
            "nowhere), or export the mask as PNG if they come from JPEG or "
            "resizing."
        )
    values_of = {code: value for value, code in codes.items()}
    for code, label in colours.items():
        if label and code in values_of:
            yield values == values_of[code], label


def _refuse(objects, pixel_type, path):
    """Raise DataError for a mask with too many values."""
    if pixel_type == "grey":
        raise DataError(
            f"{path}: expected two values, 0 and 255, found "
            f"{_listed(objects, pixel_type)} beside 0. If they are shades, "
            "from JPEG or resizing, give --threshold 0.5; if they are class "
            "numbers, name them: --colours 1=road,2=roof,255=ignore (both of "
            "polygon_to_mask.py)."
        )
    raise DataError(
        f"{path}: expected a mask of at most {_MOST_COLOURS} colours, found "
        f"{_listed(objects, pixel_type)}. Export it as PNG, without smoothing."
    )


def _listed(values, pixel_type):
    """Values or colours in a few words."""
    form = "{:g}" if pixel_type == "grey" else "#{:06X}"
    names = ", ".join(form.format(value) for value in values[:6])
    return f"{len(values)} ({names}{', ...' if len(values) > 6 else ''})"


def parse_colours(text):
    """Read what the colours of complete masks mean.

    Args:
        text: ``3C1098=building,8429F6=land,9B9B9B=``, or a file: a table with
            columns for the class and its colour (``#3C1098``, ``60 16 152``,
            or columns r, g, b), or CVAT's labelmap.txt. A number up to 255
            alone is a grey level, as in masks of class numbers. A colour
            without a class is background; the class ``ignore`` is none.

    Returns:
        dict from 0xRRGGBB to class, in the order of the text.

    Raises:
        DataError: it cannot be read.
    """
    if "=" in text:
        pairs = [part.split("=", 1) for part in text.split(",") if part]
        if min(map(len, pairs)) < 2:
            raise DataError(
                f"colours {text}: expected COLOUR=CLASS,COLOUR=CLASS."
            )
    elif text.lower().endswith(".txt"):
        pairs = _read_labelmap(Path(text))
    else:
        pairs = _read_colour_table(text)
    colours = {}
    for colour, name in pairs:
        name = clean(name) or ""
        colours[_code(colour, text)] = "" if name == BACKGROUND else name
    return colours


def _code(colour, source):
    """A colour as 0xRRGGBB."""
    text = str(colour).strip()
    if re.fullmatch("#?[0-9A-Fa-f]{6}", text):
        return int(text.removeprefix("#"), 16)
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    if re.search(r"[^\d\s,;()\[\]]", text) or len(numbers) not in (1, 3):
        numbers = [256]
    if max(numbers) > 255:
        raise DataError(
            f"{source}: expected a colour such as #3C1098, 60 16 152 or a "
            f"grey level up to 255, found {text[:40]!r}. Correct it."
        )
    red, green, blue = numbers * (3 // len(numbers))
    return red << 16 | green << 8 | blue


def _read_labelmap(path):
    """CVAT's ``label:r,g,b:parts:actions``, as (colour, name) pairs."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a labelmap: {error}.") from None
    rows = [
        line.split(":") for line in lines if line.strip()[:1] not in ("", "#")
    ]
    if not rows or min(map(len, rows)) < 2:
        raise DataError(
            f"{path}: expected lines LABEL:R,G,B::, as CVAT writes them, "
            "found others. Correct the file."
        )
    return [(colour, name) for name, colour, *_ in rows]


def _read_colour_table(path):
    """(colour, name) pairs of a table."""
    table = read_table(path, [])
    name = find_key(table, _NAMES)
    channels = [find_key(table, keys) for keys in _CHANNELS]
    colour = find_key(table, _COLOURS)
    if name is None or (colour is None and None in channels):
        raise DataError(
            f"{path}: expected a column 'class' and a column 'colour' (or r, "
            f"g and b), found {', '.join(map(str, table.columns))}."
        )
    if table.empty:
        raise DataError(
            f"{path}: expected a row for each class, found the heading alone. "
            "Give every class a colour."
        )
    if None not in channels:
        colours = table[channels].agg(" ".join, axis=1)
    else:
        colours = table[colour]
    return list(zip(colours, table[name], strict=True))
