"""What is known of a scene, read by rows of tiles."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from rasterio import Env
from rasterio.errors import RasterioIOError
from shapely import affinity

from unet.annotations.annotation import Annotation
from unet.annotations.colours import value_classes
from unet.files.errors import DataError
from unet.geometry.instances import Instance, PixelInstance, packed_of
from unet.geometry.masks import resize_ids
from unet.imagery.mask_rasters import Grid, MaskRaster, refuse_size
from unet.imagery.mask_values import read_values
from unet.imagery.opening import open_raster
from unet.imagery.resampling import Rows, wider

_ROWS = 256  # that are read at once to see which values a mask has
_MOST_VALUES = 4096  # more are a photo
# Ids of a mask's pixels: background, then its classes.
_BACKGROUND, _UNKNOWN = 0, 65_535


@dataclass(frozen=True)
class TileLabels:
    """What is known of a tile.

    Attributes:
        masks: list of (class, bool array h x w, top, left), in the order of
            the annotation: where they overlap the later one wins.
        numbers: of the objects that have these masks.
        ignored: bool, size x size: nobody has looked there; None: nowhere.
    """

    masks: list
    numbers: list
    ignored: np.ndarray | None = None

    @property
    def covered(self):
        """Share of the tile at which somebody has looked, 0 to 1."""
        return 1.0 if self.ignored is None else 1 - self.ignored.mean()


class PolygonLabels:
    """Labels that an ``Annotation`` holds.

    Args:
        annotation: in pixels of the scene.
        grid: ``unet.tiling.grid.TileGrid``.
        components: divide complete masks into their connected parts.
    """

    def __init__(self, annotation, grid, components=False):
        self.annotation, self._grid = annotation, grid
        self._components = components
        self._strip = []
        self._extent = annotation.extent and _scaled(
            annotation.extent, grid.factors
        )
        self._instances = None

    def __enter__(self):
        """Prepare for reading, once the classes are chosen."""
        instances = self.annotation.instances
        if self._components:
            instances = [
                part for instance in instances for part in instance.parts()
            ]
        self._instances = [
            _resampled(instance, self._grid) for instance in instances
        ]
        ranges = [instance.row_range() for instance in self._instances]
        self._first, self._last = np.reshape(ranges, (-1, 2)).T
        return self

    def __exit__(self, *_):
        self._instances, self._strip = [], []

    def read(self, top):
        """Draw what a row of tiles shows, whose first pixel is ``top``."""
        size, self._top = self._grid.size, top
        here = (self._first < top + size) & (self._last > top)
        with Env():  # once, and not for each polygon
            self._strip = [
                (k, *self._drawn(self._instances[k], top))
                for k in np.flatnonzero(here).tolist()
            ]

    def _drawn(self, instance, top):
        """(bool array h x w, row, column) of an instance on these tiles."""
        shape, size = self._grid.shape, self._grid.size
        return instance.window_of_rows(shape, top, size)

    def tile(self, left):
        """``TileLabels`` of a tile in that row."""
        masks, numbers, size = [], [], self._grid.size
        for k, window, row, column in self._strip:
            seen = window[
                :, max(0, left - column) : max(0, left + size - column)
            ]
            if seen.any():
                numbers.append(k)
                place = row, max(0, column - left)
                masks.append((self._instances[k].label, seen.copy(), *place))
        return TileLabels(masks, numbers, self._beyond(left))

    def _beyond(self, left):
        """Where a tile lies beyond all that the annotation shows."""
        if self._extent is None:
            return None
        size = self._grid.size
        box = shapely.box(left, self._top, left + size, self._top + size)
        if self._extent.covers(box):
            return None
        moved = affinity.translate(self._extent, -left, -self._top)
        looked = Instance(moved).mask((size, size))
        return ~looked


@dataclass
class _Value:
    """A class of a complete mask, as ``choose_classes`` takes instances."""

    label: str | None
    id: int


class MaskLabels:
    """Labels that are a complete mask, of the scene's grid or another.

    Args:
        path: of the mask.
        scene: ``unet.imagery.rasters.Scene``.
        grid: ``unet.tiling.grid.TileGrid``.
        rules: ``unet.annotations.rules.Rules``.
        components: divide each tile's masks into their connected parts.

    Raises:
        DataError: the mask cannot be read, does not fit the scene, or nobody
            can know what its values mean.
    """

    def __init__(self, path, scene, grid, rules, components=False):
        self._grid, self._components = grid, components
        self._open = partial(
            _open_mask, Path(path), scene.shape, scene.place, rules
        )
        self._mask = self._open()
        self._rows = Rows(scene.shape[0], grid.shape[0])
        self._scale = scene.shape != grid.shape
        values = self._find_values(path, scene.shape[0])
        self._values = np.array(sorted(values) or [0])
        self._of_value = np.zeros(len(self._values), np.uint16)
        self.annotation = Annotation(path)
        self._find_classes(path, rules)
        self._mask.close()

    def _find_values(self, path, height):
        """All values that the mask has where it is known."""
        import pandas as pd  # slow to import

        values = set()
        for top in range(0, height, _ROWS):
            part, known = self._mask.read(top, min(_ROWS, height - top))
            self._type = part.dtype
            values |= set(pd.unique(part[known]).tolist())
            if len(values) > _MOST_VALUES:
                raise DataError(
                    f"{path}: expected a mask, found more than {_MOST_VALUES} "
                    "values, as of a photo. Give the mask of the scene."
                )
        return values

    def _find_classes(self, path, rules):
        """Which values are of which class."""
        values, kind = self._values.astype(self._type), "grey"
        if self._mask.has_palette:
            kind = "palette"
        elif self._mask.coloured:
            kind = "colour"
            if (values >> 16 == values & 255).all() and (
                values >> 8 & 255 == values & 255
            ).all():
                kind, values = "grey", (values & 255).astype(np.uint8)
        classes = value_classes(values[None], kind, path, rules)
        for number, (pixels, label) in enumerate(classes, start=1):
            self._of_value[pixels[0]] = number
            self.annotation.instances.append(_Value(label, number))

    def __enter__(self):
        self._mask = self._open()
        return self

    def __exit__(self, *_):
        self._mask.close()

    def read(self, top):
        """Read what a row of tiles shows, whose first pixel is ``top``."""
        bottom = top + self._grid.size
        low, high = self._rows.needed(top, bottom)
        values, known = self._mask.read(low, high - low)
        at = np.searchsorted(self._values, values)
        ids = self._of_value[np.minimum(at, len(self._values) - 1)]
        ids[~known] = _UNKNOWN
        self._ids = self._reduced(ids, low, top, bottom) if self._scale else ids

    def _reduced(self, ids, first, top, bottom):
        """Rows of ids at the resolution of the tiles.

        The largest share of a pixel wins, and of two equal ones the later
        class, as in ``unet.geometry.masks.resize_ids``.
        """
        width = self._grid.shape[1]
        best = np.zeros((bottom - top, width), np.float32)
        result = np.zeros(best.shape, np.uint16)
        numbers = [one.id for one in self.annotation.instances]
        chosen = np.isin(ids, [*numbers, _UNKNOWN])
        for number in (_BACKGROUND, *sorted(numbers), _UNKNOWN):
            own = ids == number if number else ~chosen
            share = wider(np.float32(own)[..., None], width)
            share = self._rows.resized(share, first, top, bottom)[..., 0]
            wins = share > best - 1e-6
            result[wins] = number
            best = np.maximum(best, share)
        return result

    def tile(self, left):
        """``TileLabels`` of a tile in that row."""
        ids = self._ids[:, left : left + self._grid.size]
        masks, numbers = [], []
        for instance in self.annotation.instances:
            pixels = ids == instance.id
            if not pixels.any():
                continue
            numbers.append(instance.id)
            whole = [(instance.label, pixels, 0, 0)]
            masks += (
                self._parts(instance, pixels) if self._components else whole
            )
        ignored = ids == _UNKNOWN
        return TileLabels(masks, numbers, ignored if ignored.any() else None)

    @staticmethod
    def _parts(instance, pixels):
        whole = PixelInstance(packed_of(pixels), instance.label)
        for part in whole.parts():
            yield part.label, *part.window(pixels.shape)


class _WholeMask:
    """A mask in a picture file without a place, held whole."""

    def __init__(self, path, shape, rules):
        self._pixels, kind = read_values(path, rules.limits.pixels)
        self.coloured, self.has_palette = kind != "grey", kind == "palette"
        if self._pixels.shape != tuple(shape):
            refuse_size(path, self._pixels.shape, shape)

    def read(self, top, height):
        """As of ``MaskRaster``."""
        values = self._pixels[top : top + height]
        return values, np.ones(values.shape, bool)

    def close(self):
        """Nothing is open."""


def _open_mask(path, shape, place, rules):
    """A complete mask on the grid of its scene."""
    try:
        raster = open_raster(path)
    except RasterioIOError:
        return _WholeMask(path, shape, rules)
    if raster.crs or raster.driver in ("GTiff", "VRT"):
        crs = place and place.crs
        transform = place.transform if place else raster.transform
        return MaskRaster(raster, path, Grid(shape, crs, transform))
    raster.close()
    return _WholeMask(path, shape, rules)


def _scaled(geometry, factors):
    """A geometry in pixels of the tiles."""
    rows, columns = factors
    return affinity.scale(geometry, columns, rows, origin=(0, 0))


def _resampled(instance, grid):
    """An instance at the resolution of the tiles."""
    if grid.factors == (1.0, 1.0):
        return instance
    if instance.is_polygon:
        geometry = _scaled(instance.geometry, grid.factors)
        return replace(instance, geometry=geometry)
    height, width = (
        round(n / factor)
        for n, factor in zip(grid.shape, grid.factors, strict=True)
    )
    mask = instance.mask((height, width)).view(np.uint8)
    return PixelInstance(
        packed_of(resize_ids(mask, grid.shape)), instance.label
    )
