"""What is known of an image: its annotation."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely

from unet.annotations.parsing import quoted
from unet.files.errors import DataError
from unet.files.folders import IMAGE_ENDINGS
from unet.geometry.instances import Instance, PixelInstance

# Coordinates beyond this are damage, not annotation; GDAL would loop long.
FARTHEST = 1e6


@dataclass
class Annotation:
    """What is known of one image.

    Attributes:
        source: the file that it was read from.
        instances: ``Instance`` or ``PixelInstance``, in the file's order; where
            they overlap the later one wins.
        repairs: how often each ``Repair`` was made; or, with names in it, a
            sentence.
        error: why the image's annotation cannot be used, or None.
        crs: of the coordinates, if they are places on the ground.
        in_shares: whether they are shares of the image's width and height.
        size: (H, W) of the image that was annotated; None: not known.
        file: its name with the ending; None: not known.
        picture: function that returns the bytes of the image itself, where
            the file holds it; or None.
        extent: box around all that the file shows, in pixels of the image,
            if it shows the ground: beyond it nobody has looked. None: the
            whole image was annotated.
    """

    source: Path
    instances: list[Instance | PixelInstance] = field(default_factory=list)
    repairs: Counter = field(default_factory=Counter)
    error: str | None = None
    crs: str | None = None
    size: tuple[int, int] | None = None
    file: str | None = None
    picture: Callable[[], bytes] | None = None
    extent: shapely.Polygon | None = None
    in_shares: bool = False

    def check_size(self, shape):
        """Raise DataError for an image of another shape (H, W)."""
        if self.size not in (None, tuple(shape)):
            height, width = self.size
            raise DataError(
                f"{self.source}: was made for an image of {width} x {height} "
                f"(width x height), found one of {shape[1]} x {shape[0]}. Use "
                "the image that was annotated."
            )


def check_reach(geometry, source):
    """Raise DataError for coordinates that no image can have."""
    points = shapely.get_coordinates(geometry)
    near = (np.abs(points) <= FARTHEST).all(axis=1)  # False for NaN too
    if not near.all():
        x, y = points[~near][0]
        raise DataError(
            f"{source}: expected finite pixel coordinates, found a polygon "
            f"through ({x:g}, {y:g}). Remove or correct it."
        )


def image_name(text, source=None, directories=()):
    """An image's name without directories and without an image's ending.

    Args:
        text: what an annotation file says.
        source: that file.
        directories: the places that were given, or ().

    Raises:
        DataError: the text leads out of all of them with "..". (Of any other
            path, ``C:\\photos\\a.jpg`` say, the last part alone is used.)
    """
    path = Path(text.strip().replace("\\", "/"))
    if directories and ".." in path.parts:
        _refuse_outside(path, Path(source), directories)
    known = path.suffix.lower() in IMAGE_ENDINGS
    return path.stem if known else path.name


def _refuse_outside(path, source, directories):
    places = [place.resolve() for place in (source.parent, *directories)]
    target = (source.parent / path).resolve()
    if not any(target.is_relative_to(place) for place in places):
        raise DataError(
            f"{source}: expected the name of an image in the given "
            f"directories, found {quoted(str(path))}, which leads out of "
            "them. Correct the name."
        )


def size_of(data, *keys):
    """(H, W) of an image; None where a file does not say."""
    size = tuple(int(data.get(key) or 0) for key in keys)
    return size if all(size) else None
