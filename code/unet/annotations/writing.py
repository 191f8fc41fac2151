"""What every writer of annotation files does alike.

The article's text, labelme and VIA know no holes. There a polygon with holes
is one ring that runs to each hole, around it and back on the same way (a
keyhole): it stays one object to edit, covers the same pixels, and the ring
begins at a point through which it runs only once, because in the article's
text a ring ends where its first point comes again.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from unet.files.atomic import write_text


@dataclass
class AnnotatedImage:
    """One image with the instances to write.

    Attributes:
        name: what its annotation is called.
        image: the image file.
        shape: (H, W) of the image as ``unet.imagery.reading`` reads it.
        instances: list of ``unet.geometry.instances.Instance``.
    """

    name: str
    image: Path
    shape: tuple[int, int]
    instances: list


class Writer:
    """Writes annotations below a directory, image by image.

    Args:
        out: the directory; made when the first file is written.
        classes: class names, in the order of their ids.
    """

    def __init__(self, out, classes):
        self.out = Path(out)
        self.classes = list(classes)

    def files(self, names):
        """Every file that is written for images of these names."""
        return [self._path(name) for name in names]

    def _path(self, name):
        return self.out / f"{name}{self.ending}"

    def add(self, annotated):
        """Write an ``AnnotatedImage``, or keep it for ``close``."""
        text = self._text(annotated)
        write_text(self._path(annotated.name), text)

    def close(self):
        """Write what is one file for all images."""


def json_text(value):
    return json.dumps(value, ensure_ascii=False) + "\n"


def score_text(instance):
    return "" if instance.score is None else f"{instance.score:.4f}"
