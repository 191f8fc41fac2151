"""What is kept of a predicted scene for what is made of all of them."""

import json

import numpy as np
import shapely

from unet.annotations.writing import AnnotatedImage
from unet.files.atomic import replacing, write_text
from unet.geometry.instances import Instance
from unet.scoring.kept_counts import KeptCounts, as_numbers

_POLYGONS, _EXAMPLE = "polygons.json", "example.npz"


class Keeper:
    """Takes the place of a writer of annotations.

    Attributes:
        annotated: ``AnnotatedImage`` of the scene.
    """

    def __init__(self):
        self.annotated = None

    def add(self, annotated):
        """Keep an ``AnnotatedImage``."""
        self.annotated = annotated


def keep(outputs, shown, directory):
    """Keep what an ``Outputs`` of one scene has gathered.

    Args:
        outputs: ``unet.prediction.outputs.Outputs``.
        shown: names of the images of the contact sheet.
        directory: where polygons and pictures go.

    Returns:
        dict for JSON, which ``restore`` takes.
    """
    if outputs.writer:
        annotated = outputs.writer.annotated
        objects = [
            (shapely.to_wkb(one.geometry, hex=True), one.label, one.score)
            for one in annotated.instances
        ]
        content = {"shape": annotated.shape, "objects": objects}
        text = json.dumps(content, default=float)
        write_text(directory / _POLYGONS, text)
    for example in outputs.examples:
        if example.name in shown:
            parts = {
                name: getattr(example, name)
                for name in ("image", "ids", "truth")
                if getattr(example, name) is not None
            }
            with replacing(directory / _EXAMPLE) as path:
                np.savez(path, **parts)
    return {"scores": [as_numbers(image) for image in outputs.scores.images]}


def restore(outputs, source, kept, directory):
    """Give an ``Outputs`` of all scenes what is kept of one.

    Args:
        outputs: ``Outputs``.
        source: the scene.
        kept: what ``keep`` returned.
        directory: as of ``keep``.
    """
    for numbers in kept["scores"]:
        outputs.scores.names.append(source.name)
        outputs.scores.images.append(KeptCounts(numbers))
    if outputs.writer and (directory / _POLYGONS).exists():
        text = (directory / _POLYGONS).read_text(encoding="utf-8")
        content = json.loads(text)
        instances = [
            Instance(shapely.from_wkb(geometry), label, score)
            for geometry, label, score in content["objects"]
        ]
        shape = tuple(content["shape"])
        image = source.sample.image
        outputs.writer.add(AnnotatedImage(source.name, image, shape, instances))
    if source.name in outputs.shown and (directory / _EXAMPLE).exists():
        from unet.pictures.figures import Example  # slow to import

        with np.load(directory / _EXAMPLE) as parts:
            outputs.examples.append(Example(source.name, **parts))
