"""How outlines are drawn round objects."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outlining:
    """How outlines are drawn, see ``unet.geometry.polygons.outlines``.

    Attributes:
        tolerance: pixels that a pixel's centre on the wrong side of an
            outline may be away from it.
        smallest: area in pixels below which an object gets no outline.
        square: straighten outlines to right angles where that fits.
    """

    tolerance: float = 0.5
    smallest: float = 0
    square: bool = False


DEFAULTS = Outlining()
