"""The rules of reading images and annotations, as a user may give them."""

from dataclasses import dataclass
from pathlib import Path

from unet.annotations.mask_names import MaskName
from unet.imagery.bounds import MOST_PIXELS


@dataclass(frozen=True)
class Limits:
    """What no honest annotation exceeds; more is refused.

    Attributes:
        mebibytes: of a file.
        unpacked: mebibytes of a spreadsheet without compression.
        pixels: of an image or a mask.
        points: of all polygons of a file.
    """

    mebibytes: int = 1024
    unpacked: int = 1024
    pixels: int = MOST_PIXELS
    points: int = 10_000_000


@dataclass(frozen=True)
class Rules:
    """What the user says about images and annotations that they do not.

    Attributes:
        attribute: attribute, property or column that holds the class.
        annotator: number or e-mail address of the person whose annotations
            are read, where several annotated an image.
        image_column: column of a table that names the image.
        polygon_column: column of a table that holds the polygon, or two with
            a comma between them: x and y.
        colours: dict from colour (0xRRGGBB) to class, of complete masks; the
            class "" is background, ``IGNORE`` is no class.
        threshold: share of the largest grey from which on a grey mask is the
            object.
        mask_name: how complete masks are called after their images.
        bands: of images of several: those to take, from 1, red, green and
            blue first; or ``unet.imagery.reading.ALL``.
        directories: the places that were given; an annotation that points
            out of them is refused. (): not checked, as nothing is read there.
        limits: see ``Limits``.
        by_options: whether the user says all this by options, which advice
            may then name.
    """

    attribute: str | None = None
    annotator: str | None = None
    image_column: str | None = None
    polygon_column: str | None = None
    colours: dict[int, str] | None = None
    threshold: float | None = None
    mask_name: MaskName | None = None
    bands: tuple[int, ...] | str | None = None
    directories: tuple[Path, ...] = ()
    limits: Limits = Limits()
    by_options: bool = True

    def advice(self, text, with_option):
        """``text``, and behind it what helps where there are options."""
        return f"{text}{with_option if self.by_options else ''}."


NO_RULES = Rules()
