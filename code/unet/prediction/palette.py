"""All classes of an image in one mask: ids, shown in the colours of a table."""

import numpy as np

from unet.files.errors import DataError
from unet.files.folders import UNKNOWN, class_folder
from unet.files.names import same
from unet.imagery.png import new_png
from unet.imagery.rasters import new_geotiff
from unet.pictures.overlay import COLOURS
from unet.prediction.sinks import Sink

# Beside the other masks: what reads it pairs masks and images by name.
FOLDER = "palette"


def palette_of(classes, colours=None):
    """The colours of class ids.

    Args:
        classes: foreground class names.
        colours: dict from 0xRRGGBB to class, as of
            ``unet.annotations.colours.parse_colours``: the first colour of a
            class counts, the class "" is the background. None: the colours of
            the overlays.

    Returns:
        uint8, (classes + 1) x 3, RGB; all differ. The background, which comes
        first, is black where the table does not say.

    Raises:
        DataError: a class has no colour, or the background none of its own.
    """
    if colours is None:
        if len(classes) > len(COLOURS):
            raise DataError(
                f"palette: expected a table of colours for {len(classes)} "
                f"classes, found none; {len(COLOURS)} classes have colours "
                "without one. Give a table, such as "
                "3C1098=building,6EC1E4=road."
            )
        return np.vstack([np.zeros((1, 3), np.uint8), COLOURS[: len(classes)]])
    codes = {}
    for code, name in colours.items():
        codes.setdefault(name and class_folder(same(name)), code)
    absent = [name for name in classes if class_folder(name) not in codes]
    if absent:
        raise DataError(
            f"palette: expected a colour for each of {', '.join(classes)}, "
            f"found none for {', '.join(absent)}. Add COLOUR={absent[0]} to "
            "the table of colours."
        )
    background = codes.get("", 0)
    if colours.get(background):
        raise DataError(
            f"palette: expected a colour for the background, found that the "
            f"table gives black to {colours[background]}. Add a colour "
            "without a class to the table, such as FFFFFF=."
        )
    values = [background, *(codes[class_folder(name)] for name in classes)]
    return np.array(
        [[v >> 16, v >> 8 & 255, v & 255] for v in values], np.uint8
    )


class PaletteMask(Sink):
    """The class of each pixel, in a file with a palette.

    A PNG, or a GeoTIFF, which has ``UNKNOWN`` where the scene has no data; a
    PNG has 0 there.

    Args:
        source: ``unet.prediction.stream.Source``.
        palette: of ``palette_of``.
    """

    def __init__(self, source, palette):
        self._name = f"{FOLDER}/{source.name}{source.ending}"
        self._palette = palette

    def files(self):
        return [self._name]

    def open(self, source, directory):
        path, palette = directory / self._name, self._palette
        if path.suffix == ".png":
            opened = new_png(path, source.shape, palette)
        else:
            opened = new_geotiff(
                path, source, "uint8", UNKNOWN, palette=palette
            )
        self._no_data = 0 if path.suffix == ".png" else UNKNOWN
        self._add = self.stack.enter_context(opened)

    def add(self, strip):
        ids = np.where(strip.known, strip.ids, np.uint8(self._no_data))
        self._add(ids)
