"""Rasters that GDAL opens: files of pixels, and nothing that they name.

GDAL looks at the content of a file, whatever it is called. A ``.tif`` may
hold the description of another file (VRT) or of a server (WMS), which GDAL
would read, or ask.
"""

import os
from contextlib import contextmanager
from pathlib import Path

# GDAL reads this when it registers its drivers, at the first use: sidecars
# are opened with any driver that there is.
_NETWORK = "HTTP WMS WMTS WCS PLMOSAIC EEDA EEDAI STACIT STACTA"
_OTHERS = os.environ.get("GDAL_SKIP", "")
os.environ["GDAL_SKIP"] = f"{_OTHERS} {_NETWORK}".strip()

import rasterio
from rasterio.env import ensure_env
from rasterio.errors import RasterioIOError

DRIVERS = [
    *("GTiff", "COG", "JP2OpenJPEG", "HFA", "PNG", "JPEG", "BMP", "GIF"),
    *("BIGGIF", "WEBP", "AVIF", "PNM"),
]


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
    return rasterio.DatasetReader(path, driver=drivers)


@contextmanager
def raster_of(data):
    """``open_raster`` of a file's content, bytes."""
    with (
        rasterio.MemoryFile(data) as file,
        file.open(driver=DRIVERS) as raster,
    ):
        yield raster


def _refuse_remote(path):
    """Raise RasterioIOError for a VRT that names more than files."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RasterioIOError(str(error)) from None
    for sign in (b"/vsi", b"://"):
        if sign in text:
            raise RasterioIOError(f"it names a place with {sign.decode()}")
