"""Complete masks of any size, read by rows on the grid of their scene."""

from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from unet.files.errors import DataError
from unet.imagery.opening import refused_damage
from unet.imagery.rasters import palette_of


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a raster lie.

    Attributes:
        shape: (H, W).
        crs: coordinate reference system, or None.
        transform: from (column, row) to its coordinates.
    """

    shape: tuple[int, int]
    crs: CRS | None
    transform: Affine

    @classmethod
    def of(cls, raster):
        """The grid of an open raster."""
        return cls(raster.shape, raster.crs, raster.transform)


class MaskRaster:
    """A mask on the grid of its scene: the nearest of its pixels counts.

    Attributes:
        coloured: whether its values are colours.
        has_palette: whether they are those of a palette.
    """

    def __init__(self, raster, path, grid):
        """Read nothing yet.

        Args:
            raster: the open mask; ``close`` closes it.
            path: of the mask, named in errors.
            grid: ``Grid`` of the scene.

        Raises:
            DataError: its bands are no mask's, or it has neither the scene's
                size nor a place on the ground.
        """
        self._path = path
        self._file = self._raster = raster
        if Grid.of(raster) != grid:
            self._raster = self._aligned(raster, path, grid)
        count = raster.count - (ColorInterp.alpha in raster.colorinterp)
        self._palette = palette_of(raster)
        if count not in (1, 3) or (count == 3 and raster.dtypes[0] != "uint8"):
            raise DataError(
                f"{path}: expected a mask of one band, or of three of 8 bits, "
                f"found {count} of {raster.dtypes[0]}. Export one band."
            )
        self._bands = list(range(1, count + 1))
        self.has_palette = self._palette is not None
        self.coloured = count == 3 or self.has_palette
        # Many masks call their background "no data".
        self._masked = raster.nodata != 0 or self._raster is not raster

    def _aligned(self, raster, path, grid):
        """The mask on the grid of the scene."""
        if raster.crs and grid.crs:
            nodata = raster.nodata or None
            has_alpha = ColorInterp.alpha in raster.colorinterp
            return WarpedVRT(
                raster,
                crs=grid.crs,
                transform=grid.transform,
                height=grid.shape[0],
                width=grid.shape[1],
                resampling=Resampling.nearest,
                src_nodata=nodata,
                nodata=nodata,
                add_alpha=nodata is None and not has_alpha,
            )
        if raster.shape == grid.shape:
            return raster
        refuse_size(path, raster.shape, grid.shape)

    def read(self, top, height):
        """Read rows.

        Returns:
            (values, known): height x W, of the file's dtype, or int64
            (0xRRGGBB) of colours; and bool, False where the mask has no data
            or ends.

        Raises:
            DataError: the file is damaged there.
        """
        window = Window(0, top, self._raster.width, height)
        with refused_damage(self._path):
            bands = self._raster.read(self._bands, window=window)
            known = np.ones(bands.shape[1:], bool)
            if self._masked:
                known = self._raster.dataset_mask(window=window) > 0
        if self._palette is not None:
            bands = np.moveaxis(self._palette[bands[0]], 2, 0)
        if len(bands) == 3:
            red, green, blue = bands.astype(np.int64)
            return red << 16 | green << 8 | blue, known
        return bands[0], known

    def close(self):
        """Close the file."""
        self._file.close()


def refuse_size(path, found, shape):
    """Raise DataError for a mask without a place of another (H, W)."""
    raise DataError(
        f"{path}: expected the size of its scene, {shape[1]} x {shape[0]} "
        f"(width x height), found {found[1]} x {found[0]}. Export the mask at "
        "the scene's own size, or georeferenced."
    )
