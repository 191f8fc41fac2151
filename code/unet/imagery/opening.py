"""Rasters that GDAL opens: files of pixels, and nothing that they name.

GDAL looks at the content of a file, whatever it is called. A ``.tif`` may
hold the description of another file (VRT) or of a server (WMS), which GDAL
would read, or ask.
"""

import os
import struct
import warnings
from contextlib import contextmanager
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.env import ensure_env
from rasterio.errors import (
    CRSError,
    NotGeoreferencedWarning,
    RasterioIOError,
)

from unet.files.errors import DataError
from unet.files.virtual import is_virtual, name_for_gdal

# Plain images have no place on the ground; that is no fault of the user's.
warnings.simplefilter("ignore", NotGeoreferencedWarning)
# Sidecars are opened with any driver that there is.
_NETWORK = "HTTP WMS WMTS WCS PLMOSAIC EEDA EEDAI STACIT STACTA"
DRIVERS = [
    *("GTiff", "COG", "JP2OpenJPEG", "HFA", "PNG", "JPEG", "BMP", "GIF"),
    *("BIGGIF", "WEBP", "AVIF", "PNM"),
]
# What damaged pixels make of GDAL, and of Pillow, whose readers expect a file
# as it should be.
GDAL_ERRORS = (CPLE_BaseError, RasterioIOError)
PILLOW_ERRORS = (
    *(ArithmeticError, AttributeError, LookupError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, EOFError, struct.error),
)


def _leave_network_out():
    """Let GDAL register its drivers without those that ask servers.

    It happens once, here. The GDAL of pyogrio is another one, which knows
    fewer drivers and would tell of each that it cannot leave out.
    """
    before = os.environ.get("GDAL_SKIP")
    os.environ["GDAL_SKIP"] = f"{before or ''} {_NETWORK}".strip()
    try:
        ensure_env(lambda: None)()
    finally:
        del os.environ["GDAL_SKIP"]
        if before is not None:
            os.environ["GDAL_SKIP"] = before


_leave_network_out()


@ensure_env
def open_raster(path):
    """Open a file of pixels, whatever else lies in it.

    Args:
        path: a file. One that ends in ``.vrt`` was chosen as such: it may
            name other files of this machine.

    Returns:
        An open ``rasterio.DatasetReader``.

    Raises:
        RasterioIOError: it is no file of pixels.
    """
    # A path, and no text: text may be an address. Absolute: a name may begin
    # like a driver's.
    path = Path(path).absolute()
    drivers = DRIVERS
    if path.suffix.lower() == ".vrt":
        _refuse_remote(path)
        drivers = [*DRIVERS, "VRT"]
    with _one_error():
        name = name_for_gdal(path) if is_virtual(path) else path
        return rasterio.DatasetReader(name, driver=drivers)


@contextmanager
def raster_of(data):
    """``open_raster`` of a file's content, bytes."""
    with rasterio.MemoryFile(data) as file:
        with _one_error():
            raster = file.open(driver=DRIVERS)
        with raster:
            yield raster


@contextmanager
def refused_damage(path):
    """Let what GDAL says of an open file's pixels be a ``DataError``."""
    try:
        yield
    except GDAL_ERRORS as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: the file is truncated or damaged ({reason}). Copy or "
            "export it again."
        ) from None


@contextmanager
def _one_error():
    """Let each error of a damaged file be a ``RasterioIOError``."""
    try:
        yield
    except (CPLE_BaseError, CRSError, UnicodeDecodeError) as error:
        raise RasterioIOError(str(error)) from None


def _refuse_remote(path):
    """Raise RasterioIOError for a VRT that names more than files."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RasterioIOError(str(error)) from None
    for sign in (b"/vsi", b"://"):
        if sign in text:
            raise RasterioIOError(f"it names a place with {sign.decode()}")
