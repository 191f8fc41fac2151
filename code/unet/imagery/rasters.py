"""Images too large to be held whole: read and written by rows."""

import errno
import os
import shutil
import threading
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NodataShadowWarning, RasterioIOError
from rasterio.windows import Window

from unet.files.atomic import replacing
from unet.files.errors import DataError
from unet.files.quiet import held_back_stderr
from unet.files.virtual import is_virtual
from unet.imagery.bands import as_bands, as_three
from unet.imagery.bounds import MOST_PIXELS
from unet.imagery.georeference import place_of
from unet.imagery.opening import open_raster, refused_damage
from unet.imagery.reading import (
    picture_bands,
    refuse_truncated_jpeg,
    three_of,
    to_uint8,
)
from unet.imagery.stored import stored_as

# Rows that are read, predicted and written in one go: of a tile of a GeoTIFF.
ROWS = 256
# Hardly any picture is packed tighter.
_MOST_PIXELS_A_BYTE = 100
warnings.simplefilter("ignore", NodataShadowWarning)


class Scene:
    """An image that is read by blocks of rows, from several threads.

    Attributes:
        path: the file.
        shape: (H, W).
        place: ``unet.imagery.georeference.Georeference``, or None.
        masked: whether some of its pixels may hold no data.
    """

    def __init__(self, path, bands=None):
        """Open a file, and read nothing.

        Args:
            path: any raster that GDAL reads, or an image that
                ``unet.imagery.reading`` reads.
            bands: ``unet.imagery.bands.Bands``, or as of
                ``unet.imagery.reading.read_image``.

        Raises:
            DataError: the file is missing, damaged or no picture, or its
                bands are not those.
        """
        self.path = Path(path)
        self._how = as_bands(bands)
        self.place = None
        self.masked = False
        self._local = threading.local()
        self._open = []
        self._whole = self._limits = self._colours = None
        kept = stored_as(path)
        try:
            if kept and kept.orientation != 1:
                raise RasterioIOError("GDAL would not turn it")
            raster = self._handle()
        except RasterioIOError:
            # Turned by EXIF, or of a format that GDAL does not know.
            self._whole = self._how.read(path)
            self.shape = self._whole.shape[:2]
            return
        with refused_damage(path):
            self._look_at(raster)

    def _look_at(self, raster):
        self.shape = raster.shape
        if raster.driver == "JPEG":
            refuse_truncated_jpeg(self.path)  # GDAL would fill it with grey
        with self._how.named_bands(self.path):
            self._bands = picture_bands(raster, self.path, self._how.numbers)
        self.place = place_of(raster)
        flags = [raster.mask_flag_enums[band - 1] for band in self._bands]
        everywhere = rasterio.enums.MaskFlags.all_valid
        self.masked = any(everywhere not in band for band in flags)
        self.masked |= np.dtype(raster.dtypes[0]).kind == "f"  # NaN
        alpha = [c == ColorInterp.alpha for c in raster.colorinterp]
        # A band that is learned from hides nothing, whatever it is called.
        self._own_alpha = any(alpha[band - 1] for band in self._bands)
        if self._own_alpha and raster.nodata is None:
            self.masked = False
        if self._how.dtype:
            self._how.check_depth(raster.dtypes[0], self.path)
            self._how.check_descriptions(self.path)
            return
        self._colours = palette_of(raster)
        if raster.dtypes[0] != "uint8":
            self._limits = self._find_limits()

    @classmethod
    def of_array(cls, image):
        """A scene of an image in memory: H x W x channels."""
        self = cls.__new__(cls)
        self.path = self.place = None
        self.masked = False
        self._open, self._whole = [], image
        self.shape = image.shape[:2]
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for raster in self._open:
            raster.close()

    def _handle(self):
        """The open raster of this thread: GDAL's are not to be shared."""
        if not hasattr(self._local, "raster"):
            self._local.raster = open_raster(self.path)
            self._open.append(self._local.raster)
        return self._local.raster

    def read(self, top, bottom):
        """Read rows.

        Args:
            top, bottom: the first row, and the first one behind.

        Returns:
            (image, known): uint8, h x W x 3, or what a network sees, h x W x
            channels, of the type of the ``Bands``; and bool, h x W, False
            where the scene has no data.

        Raises:
            DataError: the file is damaged there.
        """
        if self._whole is not None:
            image = self._whole[top:bottom]
            return image, np.ones(image.shape[:2], bool)
        values, known = self._values(top, bottom)
        if self._how.dtype:
            values = as_three(values, self._how.numbers)
            return np.ascontiguousarray(values), known
        if self._colours is not None:
            return self._colours[values[..., 0]], known
        if self._limits:
            values[~known] = self._limits[0]
            values = to_uint8(values, self.path, self._limits)
        return three_of(values), known

    def _values(self, top, bottom):
        """Rows as they are in the file: h x W x bands, and h x W."""
        raster = self._handle()
        window = Window(0, top, self.shape[1], bottom - top)
        with refused_damage(self.path):
            values = raster.read(self._bands, window=window)
            known = np.ones(values.shape[1:], bool)
            if self.masked and self._own_alpha and raster.nodata is not None:
                known = (values != raster.nodata).any(axis=0)
            elif self.masked:
                known = raster.dataset_mask(window=window) > 0
            if values.dtype.kind == "f":
                known &= np.isfinite(values).all(axis=0)
        return np.moveaxis(values, 0, 2), known

    def _find_limits(self):
        """The smallest and the largest value of the pixels that are known."""
        low, high = np.inf, -np.inf
        for top in range(0, self.shape[0], ROWS):
            values, known = self._values(top, min(top + ROWS, self.shape[0]))
            values = values[known]
            if values.size:
                low = min(low, float(values.min()))
                high = max(high, float(values.max()))
        if low > high:
            return 0.0, 0.0
        if low >= 0 and high <= 1 and values.dtype.kind == "f":
            return 0.0, 1.0
        return low, high


def refuse_endless(path, stored):
    """Raise DataError for more pixels than there can be in a file.

    A file of a few bytes can claim any size, and a scene of any size is
    read. Photos have the bound that they have everywhere; a raster may
    be larger, if it is no void.
    """
    if is_virtual(path):
        return  # nobody knows how many bytes it has
    most, size = MOST_PIXELS, Path(path).stat().st_size
    if not stored.is_photo:
        most = max(most, _MOST_PIXELS_A_BYTE * size)
    height, width = stored.shape
    if height * width > most and stored.format != "VRT":
        raise DataError(
            f"{path}: expected at most {most} pixels, found {width} x {height} "
            f"(width x height) in {size} bytes. Cut it into tiles, or export "
            "it as a compressed GeoTIFF."
        )


def no_data(path, shape, is_mask=False):
    """Where a raster has no data: by value, mask or alpha.

    Args:
        path: the file; None, and files of photos, have data everywhere.
        shape: (H, W) of the result.
        is_mask: it shows classes: a value of 0 is their background, whatever
            the file calls it, and alpha may show an object.

    Returns:
        bool, H x W.
    """
    nowhere = np.zeros(shape, bool)
    kept = path and stored_as(path)
    if not kept or kept.is_photo or kept.orientation != 1:
        return nowhere
    try:
        with open_raster(path) as raster, refused_damage(path):
            if is_mask and not raster.nodata:
                return nowhere
            known = raster.dataset_mask() > 0
    except RasterioIOError:
        return nowhere  # of a format that GDAL does not know
    return ~known if known.shape == tuple(shape) else nowhere


def palette_of(raster):
    """The colours of an open raster's values.

    Returns:
        uint8, values x RGB, with a row for each value that its pixels may
        have; None: they are no numbers of colours.
    """
    whole = raster.dtypes[0] in ("uint8", "uint16")
    if raster.colorinterp[0] != ColorInterp.palette or not whole:
        return None
    colours = np.zeros((np.iinfo(raster.dtypes[0]).max + 1, 3), np.uint8)
    for value, colour in raster.colormap(1).items():
        colours[value] = colour[:3]
    return colours


@contextmanager
def new_geotiff(
    path, scene, dtype, nodata, average=False, scale=1.0, palette=None
):
    """Write a GeoTIFF of one band from the top to the bottom, or nothing.

    Tiled, compressed, with overviews; at the place of the scene. GDAL may
    swallow that a disk is full, so the file is read again before it gets its
    name.

    Args:
        path: the file.
        scene: ``Scene``, of which it has size and place.
        dtype: of the values.
        nodata: the value of pixels without data.
        average: make overviews by averaging; else by choosing pixels.
        scale: what a value is to be multiplied by, for programs that ask.
        palette: uint8, up to 256 x 3, the RGB colours of the values; None:
            they are no classes.

    Yields:
        A function that takes the next rows: array of h x W, where ``ROWS``
        divides h but for the last ones.

    Raises:
        OSError: the file could not be written whole.
    """
    height, width = scene.shape
    place = scene.place
    profile = {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": 1,
        "dtype": dtype,
        "nodata": nodata,
        "crs": place and place.crs,
        "transform": place and place.transform,
        "tiled": True,
        "blockxsize": ROWS,
        "blockysize": ROWS,
        "compress": "deflate",
        "predictor": 3 if np.dtype(dtype).kind == "f" else 1,
        "bigtiff": "if_safer",
    }
    factors = [2**k for k in range(1, 30) if max(scene.shape) >> k >= ROWS]
    checks = []
    with replacing(path) as temporary:
        try:
            raster = rasterio.open(temporary, "w", **profile)
            raster.scales = (scale,)
            if palette is not None:
                colours = {k: tuple(c) for k, c in enumerate(palette.tolist())}
                raster.write_colormap(1, colours)

            def add(rows):
                top = sum(count for count, _ in checks)
                window = Window(0, top, width, len(rows))
                with _silent():
                    raster.write(rows, 1, window=window)
                check = zlib.crc32(np.ascontiguousarray(rows))
                checks.append((len(rows), check))

            try:
                yield add
            finally:
                with _silent():
                    raster.close()
            if factors:
                how = Resampling.average if average else Resampling.nearest
                with (
                    _silent(),
                    rasterio.open(temporary, "r+", driver="GTiff") as raster,
                ):
                    raster.build_overviews(factors, how)
            whole = _is_whole(temporary, factors, checks)
        except RasterioIOError as error:
            raise _not_whole(path) from error
        if not whole:
            raise _not_whole(path)


def _silent():
    """Without libtiff's own lines about a full disk: we tell of it."""
    return held_back_stderr(shown=False)


def _is_whole(path, factors, checks):
    """Whether a GeoTIFF holds what was written: (rows, checksum) a piece."""
    top = 0
    with open_raster(path) as raster:
        for count, check in checks:
            rows = raster.read(1, window=Window(0, top, raster.width, count))
            if zlib.crc32(rows) != check:
                return False
            top += count
        return top == raster.height and raster.overviews(1) == factors


def _not_whole(path):
    """The error of a file that is not on the disk as it was written."""
    path = Path(path)
    # What was written of it is still there and takes its place.
    if shutil.disk_usage(path.parent).free < 2**22:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return OSError(errno.EIO, "could not be written whole", str(path))
