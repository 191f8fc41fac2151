"""Images written anew, with all that their files held.

Photos and rasters of 8 bits and 1 or 3 bands become PNG. More bands, or more
bits, become GeoTIFF.
"""

from pathlib import Path

import numpy as np
import rasterio

from unet.files.atomic import replacing
from unet.imagery.bands import DEPTHS, Bands, in_short
from unet.imagery.georeference import write_georeference
from unet.imagery.opening import GDAL_ERRORS, open_raster, raster_of
from unet.imagery.png import PNG_START, write_png
from unet.imagery.rasters import palette_of
from unet.imagery.reading import ALL, RASTER_STARTS, picture_numbers

_IN_A_PNG = (1, 3)  # bands


def kept_bands(source, bands=None):
    """The bands of an image of which a PNG of 8 bits would lose something.

    Args:
        source: path, or the bytes of a file.
        bands: those wanted, see ``unet.imagery.reading.read_image``; None:
            all but alpha.

    Returns:
        ``unet.imagery.bands.Bands`` with a type; None: it is a picture of 8
        bits, or neither of 8 nor of 16, or no raster, or lacks a band.
    """
    is_path = isinstance(source, str | Path)
    if not is_path and not source.startswith((*RASTER_STARTS, PNG_START)):
        return None
    try:
        with open_raster(source) if is_path else raster_of(source) as raster:
            dtype, texts = raster.dtypes[0], raster.descriptions
            numbers = bands
            if bands in (None, ALL):
                numbers = picture_numbers(raster, with_alpha=bands == ALL)
            is_picture = dtype == "uint8" and len(numbers) in _IN_A_PNG
            if (
                is_picture
                or dtype not in DEPTHS
                or max(numbers) > raster.count
                or palette_of(raster) is not None
            ):
                return None
    except (*GDAL_ERRORS, ValueError):
        return None  # whoever reads it says what is wrong
    descriptions = tuple(in_short(texts[number - 1]) for number in numbers)
    return Bands(tuple(numbers), descriptions, dtype)


def save_image(folder, name, image, place=None, bands=None):
    """Write an image, and where it lies.

    Args:
        folder: directory that is there, or can be made.
        name: of the file, without its ending.
        image: uint8, H x W x 3, or H x W x bands of the type of ``bands``.
        place: ``unet.imagery.georeference.Georeference``, or None.
        bands: of ``kept_bands``; None: a picture.

    Returns:
        Path of the file.
    """
    if bands is None:
        path = Path(folder) / f"{name}.png"
        write_png(path, image)
        write_georeference(path, place)
        return path
    path = Path(folder) / f"{name}.tif"
    height, width, count = image.shape
    profile = {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": count,
        "dtype": image.dtype,
        # Else a fourth band would be called alpha.
        "photometric": "rgb" if count == 3 else "minisblack",
        "compress": "deflate",
        "predictor": 2,
        "crs": place and place.crs,
        "transform": place and place.transform,
    }
    with rasterio.MemoryFile() as file:
        with file.open(**profile) as raster:
            raster.write(np.moveaxis(image, 2, 0))
            for number, text in enumerate(bands.descriptions, start=1):
                if text:
                    raster.set_band_description(number, text)
        with replacing(path) as temporary:
            temporary.write_bytes(file.read())
    return path
