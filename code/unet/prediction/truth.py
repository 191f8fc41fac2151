"""What is truly in a scene, row by row: from a mask or from polygons."""

from pathlib import Path

import numpy as np
from rasterio.errors import RasterioIOError

from unet.annotations.colours import VOID
from unet.annotations.placing import from_shares, in_pixels
from unet.annotations.reading import read_file
from unet.annotations.rules import Rules
from unet.files.errors import DataError
from unet.files.folders import IGNORE, IMAGE_ENDINGS, UNKNOWN
from unet.imagery.mask_rasters import Grid, MaskRaster, refuse_size
from unet.imagery.mask_values import read_values
from unet.imagery.opening import open_raster, refused_damage

# Nothing is said of what the truth leaves open.
_RULES = Rules(by_options=False)
_ROWS = 256  # that are read at once to see which values a mask has
_MOST_VALUES = 64  # more are no classes


def open_truth(path, scene, classes, rules=_RULES):
    """The truth of a scene, to be read row by row.

    Args:
        path: a mask, or annotations of any format that ``unet.annotations``
            reads. A mask that lies on the ground may have another grid than
            the scene's; the nearest of its pixels counts. Any other one has
            the scene's size.
        scene: the scene's own file.
        classes: foreground class names, in the order of their ids. With one
            class everything that is not background is the object; with
            several a mask holds class ids, or the colours of
            ``rules.colours``, and polygons are labelled. Nobody knows what is
            in a polygon or a colour called ``ignore``, in pixels of the id
            255 beside others, and of the colour that Pascal VOC gives it.
        rules: what the file leaves open.

    Returns:
        An object with ``rows(top, height)``: (ids, instances). uint8,
        height x W, class ids, and ``UNKNOWN`` where the truth says nothing
        (ignored, no data, beyond its border); int32, height x W, the number
        of the polygon from 1 on, the later one where two overlap, or None for
        a mask. And with ``close()``.

    Raises:
        DataError: the truth cannot be read, or does not fit the scene or the
            classes.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: expected the truth of {scene}, found nothing. Check the "
            "path."
        )
    with open_raster(scene) as raster:
        grid = Grid.of(raster)
    if path.suffix.lower() not in (*IMAGE_ENDINGS, ".vrt"):
        return _Polygons(path, scene, grid.shape, classes, rules)
    try:
        raster = open_raster(path)
    except RasterioIOError:
        raster = None  # GDAL does not know all that we read
    if raster and (raster.crs or raster.driver in ("GTiff", "VRT")):
        with refused_damage(path):
            return _Raster(raster, path, grid, classes, rules)
    if raster:
        raster.close()
    return _Mask(path, grid.shape, classes, rules)


class _Polygons:
    """Truth that is drawn, rows by rows, where pixels have their centres."""

    def __init__(self, path, scene, shape, classes, rules):
        self.shape = shape
        annotation = _annotation_of(path, Path(scene), rules)
        if annotation.crs is not None:
            annotation = in_pixels(annotation, scene)
        annotation = from_shares(annotation, shape)
        annotation.check_size(shape)
        self._instances = annotation.instances
        labels = {one.label for one in self._instances}
        labels.discard(IGNORE)
        numbers = {name: k for k, name in enumerate(classes, start=1)}
        # One class may be called by another name, or not at all.
        if len(classes) == 1 and len(labels) == 1:
            numbers = dict.fromkeys(labels, 1)
        numbers[IGNORE] = UNKNOWN
        unknown = sorted(str(label) for label in labels - set(numbers))
        if unknown:
            raise DataError(
                f"{path}: expected polygons of {', '.join(classes)}, found "
                f"{', '.join(unknown[:6])}. Call the property that holds the "
                'class "class", or give a file of these classes.'
            )
        ids = [0, *(numbers[one.label] for one in self._instances)]
        self._ids = np.array(ids, np.uint8)
        ranges = [instance.row_range() for instance in self._instances]
        self._first, self._last = np.reshape(ranges, (-1, 2)).T

    def rows(self, top, height):
        drawn = np.zeros((height, self.shape[1]), np.int32)
        seen = (self._first < top + height) & (self._last > top)
        for k in np.flatnonzero(seen):
            window, row, column = self._instances[k].window_of_rows(
                self.shape, top, height
            )
            below = drawn[
                row : row + len(window), column : column + window.shape[1]
            ]
            below[window] = k + 1
        return self._ids[drawn], drawn

    def close(self):
        """Nothing is open."""


def _annotation_of(path, scene, rules):
    """The annotation in a file that is the scene's.

    Raises:
        DataError: it has several, and none is called like the scene.
    """
    found = read_file(path, rules=rules)
    annotation = found.get(scene.stem)
    if len(found) == 1:
        (annotation,) = found.values()
    if annotation is None:
        raise DataError(
            f"{path}: expected the annotation of {scene.name}, found those of "
            f"{len(found)} others. Give a file of this scene alone."
        )
    if annotation.error:
        raise DataError(annotation.error)
    return annotation


class _Values:
    """Truth that is a raster of values.

    Args:
        path: named in errors.
        shape: (H, W) of the scene.
        classes, rules: see ``open_truth``.
    """

    def __init__(self, path, shape, classes, rules):
        import pandas as pd  # slow to import

        self.path, self.shape = path, shape
        found = set()
        for top in range(0, shape[0], _ROWS):
            values, known = self._read(top, min(_ROWS, shape[0] - top))
            found |= set(pd.unique(values[known]).tolist())
            if len(found) > _MOST_VALUES:
                self._refuse(found, classes)
        # All values that there are, and their class ids.
        self._values = np.array(sorted(found) or [0])
        ids = {0: 0, **self._meaning(found, classes, rules.colours)}
        known = [ids[value] for value in self._values.tolist()]
        self._ids = np.array(known, np.uint8)

    def _meaning(self, found, classes, colours):
        """Dict from a value to its class id."""
        numbers = {name: k for k, name in enumerate(classes, start=1)}
        numbers[IGNORE] = UNKNOWN
        codes = {v: v * (1 if self.coloured else 0x010101) for v in found}
        # A table of colours alone says nothing of a mask of class ids.
        if colours is not None and (
            self.coloured or set(codes.values()) & set(colours) - {0}
        ):
            names = {v: colours.get(code) for v, code in codes.items()}
            ids = {v: numbers.get(name, 0) for v, name in names.items()}
            absent = {v for v, name in names.items() if name is None and v}
            if absent:
                self._refuse_colours(absent)
            return ids
        objects = found - {0}
        void = VOID if self.coloured else UNKNOWN
        if len(classes) == 1:
            # A mask of 0 and 255 alone shows an object.
            beside = self.coloured or 1 in objects
            ignored = objects & {void} if beside and objects > {void} else set()
            if len(objects - ignored) > 1:
                self._refuse(found, classes)
            ids = dict.fromkeys(objects, 1)
            return {**ids, **dict.fromkeys(ignored, UNKNOWN)}
        ids = {value: value for value in range(len(classes) + 1)}
        ids[UNKNOWN] = UNKNOWN
        if self.coloured or not found <= set(ids):
            self._refuse(found, classes)
        return ids

    def _refuse_colours(self, absent):
        """Raise DataError for colours that are not in the table."""
        raise DataError(
            f"{self.path}: expected the colours of the table, found "
            f"{self._listed(absent)} as well. Add them to it: without a class "
            "they are background, with the class ignore they count nowhere."
        )

    def _listed(self, values):
        form = "#{:06X}" if self.coloured else "{:g}"
        names = ", ".join(form.format(value) for value in sorted(values)[:6])
        return names + ", ..." * (len(values) > 6)

    def _refuse(self, found, classes):
        """Raise DataError for values that nobody can know."""
        expected = "0 and one other value"
        if len(classes) > 1:
            expected = f"class ids from 0 to {len(classes)}"
        raise DataError(
            f"{self.path}: expected {expected} as the truth, found "
            f"{self._listed(found)}. Write the mask with these values, 0 for "
            "the background; pixels that nobody knows are its no-data value."
        )

    def rows(self, top, height):
        values, known = self._read(top, height)
        at = np.searchsorted(self._values, values)
        ids = self._ids[np.minimum(at, len(self._ids) - 1)]
        ids[~known] = UNKNOWN
        return ids, None


class _Raster(_Values):
    """A mask of any size, read by windows."""

    def __init__(self, raster, path, grid, classes, rules):
        self._mask = MaskRaster(raster, path, grid)
        self.coloured = self._mask.coloured
        super().__init__(path, grid.shape, classes, rules)

    def _read(self, top, height):
        return self._mask.read(top, height)

    def close(self):
        self._mask.close()


class _Mask(_Values):
    """A mask in a picture file without a place, read as a whole."""

    def __init__(self, path, shape, classes, rules):
        self._pixels, kind = read_values(path, rules.limits.pixels)
        self.coloured = kind != "grey"
        if self._pixels.shape != tuple(shape):
            refuse_size(path, self._pixels.shape, shape)
        super().__init__(path, shape, classes, rules)

    def _read(self, top, height):
        values = self._pixels[top : top + height]
        return values, np.ones(values.shape, bool)

    def close(self):
        """Nothing is open."""
