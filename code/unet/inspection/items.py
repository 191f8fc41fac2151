"""Images with what is known of them, and what is wrong with them."""

import io
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unet.annotations.annotation import Annotation
from unet.annotations.rules import NO_RULES, Rules
from unet.files.errors import DataError
from unet.files.folders import IGNORE, natural
from unet.imagery.reading import image_from, read_bytes
from unet.imagery.stored import stored_as
from unet.inspection.kinds import KINDS

_NAMED = 6  # values in one line


@dataclass
class Item:
    """An image with what is known of it.

    Attributes:
        name: of the sample.
        side: "train", "test" or "" where there are no sides.
        image: the image file, or the annotation file that holds it.
        masks: (file, class) of its mask files, or ``IGNORE`` for the class;
            None: not labelled.
        annotation: polygons and such, of raw data.
        has_complete_mask: its mask is raw and the whole annotation: black
            says that nothing is there, and colours are classes.
        rules: how raw images and annotations are read.
        picture: function that returns the bytes of the image where an
            annotation file holds it; or None.
    """

    name: str
    side: str
    image: Path
    masks: list[tuple[Path, str]] | None = None
    annotation: Annotation | None = None
    has_complete_mask: bool = False
    rules: Rules = NO_RULES
    picture: Callable[[], bytes] | None = None

    @property
    def labelled(self):
        return self.masks is not None or self.annotation is not None

    @property
    def is_raw(self):
        """Whether it is an image with an annotation, and no folder."""
        return self.annotation is not None or self.has_complete_mask

    @property
    def classes(self):
        """The class of each mask file or object; None where it has no name."""
        instances = self.annotation.instances if self.annotation else []
        labels = [label for _, label in self.masks or []]
        labels += [instance.label for instance in instances]
        return [label for label in labels if label != IGNORE]

    def read(self):
        """The image, or three of its bands: uint8 H x W x 3."""
        data = self.picture() if self.picture else read_bytes(self.image)
        most = self.rules.limits.pixels
        return image_from(data, self.image, self.rules.bands, most, first=True)

    def stored(self):
        """How the image is stored; see ``unet.imagery.stored.stored_as``."""
        try:
            picture = self.picture and io.BytesIO(self.picture())
        except DataError:
            return None
        return stored_as(picture or self.image)


@dataclass
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: key of ``KINDS``.
        path: the file, or folder, to blame.
        detail: what was found there.
        item: its image, if it has one.
        box: (left, top, right, bottom) in pixels to look at, or None.
        others: further images to look at, such as the other of a pair.
    """

    kind: str
    path: Path
    detail: str
    item: Item | None = None
    box: tuple[int, int, int, int] | None = None
    others: list[Item] = field(default_factory=list)

    @property
    def place(self):
        """The path, in short."""
        name = self.path.name
        if name in ("images", "masks"):
            return f"{self.path.parent.name}/{name}"
        return name


@dataclass
class Examination:
    """What was seen of one item.

    Attributes:
        item: the item.
        findings: what is wrong with it by itself.
        shape: (H, W) as the eye sees it; None if the image is unreadable.
        light: mean of the grey values, 0 to 255.
        contrast: their standard deviation.
        fingerprint: for ``near_copies``; None for an image of a single colour.
        traits: kinds that count only where the rest of the set lacks them.
        areas: (class, pixels) of every object.
        covers: pixels by class, where they are not ignored.
        ignored: pixels that count nowhere.
        colours: pixels by colour, of masks of several colours.
        masks: (file, class, share, share of the image's border) of masks.
        ids: values of masks that hold class ids, by file.
        edges: see ``edge_map``; None where there is too little outline.
        swapped: the same with x and y swapped.
        turned: whether the annotation is of the photo before its EXIF tag
            turns it.
        misplaced: whether the annotation lies in the wrong place as a whole,
            as this image alone shows.
        reach: (right, bottom) that polygons reach, shares of the image.
        unclear: a mask file of which nobody can tell the object, or None.
    """

    item: Item
    findings: list[Finding] = field(default_factory=list)
    shape: tuple[int, int] | None = None
    light: float = 0.0
    contrast: float = 0.0
    fingerprint: tuple | None = None
    traits: dict[str, str] = field(default_factory=dict)
    areas: list[tuple[str, int]] = field(default_factory=list)
    covers: Counter = field(default_factory=Counter)
    ignored: int = 0
    colours: Counter = field(default_factory=Counter)
    masks: list[tuple[Path, str, float, float]] = field(default_factory=list)
    ids: dict[Path, list[int]] = field(default_factory=dict)
    edges: np.ndarray | None = None
    swapped: np.ndarray | None = None
    turned: bool = False
    misplaced: bool = False
    reach: tuple[float, float] | None = None
    unclear: Path | None = None

    def add(self, kind, path, detail, box=None):
        self.findings.append(Finding(kind, path, detail, self.item, box))


def by_side(exams):
    """Examinations by "train", "test" or ""."""
    sides = defaultdict(list)
    for exam in exams:
        sides[exam.item.side].append(exam)
    return sides


def place_of_side(root, side):
    """The directory of a side."""
    return root / side if side else root


def items_of(exams):
    return [exam.item for exam in exams]


def listed(values):
    """The first few values in one line."""
    more = ", ..." if len(values) > _NAMED else ""
    return ", ".join(map(str, values[:_NAMED])) + more


def reason_of(error, path):
    """What an error says, without its path and its advice."""
    text = str(error).removeprefix(str(path)).lstrip(":, ")
    return text.rsplit(". ", 1)[0].rstrip(".")


def in_order(findings):
    """Findings by kind, then by file."""
    order = {key: number for number, key in enumerate(KINDS)}
    return sorted(
        findings, key=lambda f: (order[f.kind], natural(f.path), f.detail)
    )
