"""Where the strips of a prediction go.

To write something new make a ``Sink`` and name it in
``unet.prediction.outputs``.
"""

from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from unet.files.names import check_results
from unet.geometry.scene_objects import SceneObjects
from unet.imagery.mask_values import read_truth
from unet.imagery.png import new_png, write_png
from unet.imagery.rasters import new_geotiff
from unet.pictures.overlay import outcomes
from unet.prediction.map_layer import Layer
from unet.prediction.overview import Picture, UncertainPlaces
from unet.prediction.strip import Strip
from unet.scoring.objects import Objects

# Of the pixels of a mask without data: what is neither class nor background.
MASK_NODATA = 127


@contextmanager
def mask_file(path, scene, number):
    """Write the mask of a class from strips: 0 and 255.

    A GeoTIFF has ``MASK_NODATA`` where the scene has no data, a PNG 0.

    Args:
        path: ends in ``.tif`` or ``.png``.
        scene: ``Source``, or anything with ``shape`` and ``place``.
        number: the class's id.

    Yields:
        A function that takes the next ``unet.prediction.strip.Strip``.
    """

    def mask(strip):
        return (strip.ids == number) * np.uint8(255)

    if path.suffix == ".tif":
        with new_geotiff(path, scene, "uint8", MASK_NODATA) as add:
            yield lambda strip: add(
                np.where(strip.known, mask(strip), np.uint8(MASK_NODATA))
            )
    else:
        with new_png(path, scene.shape) as add:
            yield lambda strip: add(mask(strip))


@contextmanager
def probability_file(path, scene, depth, channel):
    """Write the probability of a class from strips.

    Args:
        path: ends in ``.tif`` or ``.png``.
        scene: ``Source``, or anything with ``shape`` and ``place``.
        depth: ``"float"``: float32, NaN where the scene has no data.
            ``"8bit"``: a PNG has 0 to 255 for 0 to 1. A GeoTIFF has 0 to 254
            (its scale says so) and 255 where the scene has no data.
        channel: of ``Strip.probability``.

    Yields:
        A function that takes the next ``unet.prediction.strip.Strip``.
    """

    def levels(strip, most):
        level = np.rint(strip.probability[..., channel] * most)
        return level.clip(0, most).astype(np.uint8)

    if path.suffix == ".png":
        with new_png(path, scene.shape) as add:
            yield lambda strip: add(levels(strip, 255) * strip.known)
    elif depth == "8bit":
        with new_geotiff(path, scene, "uint8", 255, True, 1 / 254) as add:
            yield lambda strip: add(
                np.where(strip.known, levels(strip, 254), np.uint8(255))
            )
    else:
        nan = np.float32(np.nan)
        with new_geotiff(path, scene, "float32", np.nan, True) as add:
            yield lambda strip: add(
                np.where(strip.known, strip.probability[..., channel], nan)
            )


class Sink:
    """Takes the strips of one source and makes something of them.

    Subclasses override what they need. What ``open`` enters in ``stack`` is
    finished at the end, or taken back after an error.
    """

    def files(self):
        """Names of the files that it writes."""
        return []

    def notes(self):
        """Lines for the user, when it is closed."""
        return []

    @contextmanager
    def opened(self, source, directory):
        """Open it, and close it if the block ends well.

        Args:
            source: ``unet.prediction.stream.Source`` with a shape.
            directory: where its files are written.

        Raises:
            DataError: one of them cannot have its name.
        """
        directory = Path(directory)
        check_results(directory, [directory / name for name in self.files()])
        with ExitStack() as self.stack:
            self.open(source, directory)
            yield self
            self.close()

    def open(self, source, directory):
        """Begin."""

    def add(self, strip):
        """Take the next ``Strip``."""
        raise NotImplementedError

    def close(self):
        """Nothing follows."""


def mask_names(name, classes, ending):
    """What the masks of an image are called: one file a class."""
    if len(classes) == 1:
        return [f"{name}{ending}"]
    return [f"{name}_{label}{ending}" for label in classes]


class Masks(Sink):
    """The mask of each class."""

    def __init__(self, source, classes):
        self._names = mask_names(source.name, classes, source.ending)

    def files(self):
        return self._names

    def open(self, source, directory):
        self._add = [
            self.stack.enter_context(mask_file(directory / name, source, k))
            for k, name in enumerate(self._names, start=1)
        ]

    def add(self, strip):
        for add in self._add:
            add(strip)


class Probabilities(Sink):
    """The probability of each class; ``depth``: see ``probability_file``."""

    def __init__(self, source, classes, depth):
        ending = ".tif" if depth == "float" else source.ending
        names = mask_names(source.name, classes, ending)
        self._names = [
            f"{name.removesuffix(ending)}_probability{ending}" for name in names
        ]
        # Of two classes the network gives one probability.
        self._first = 0 if len(classes) == 1 else 1
        self._depth = depth

    def files(self):
        return self._names

    def open(self, source, directory):
        self._add = [
            self.stack.enter_context(
                probability_file(directory / name, source, self._depth, k)
            )
            for k, name in enumerate(self._names, start=self._first)
        ]

    def add(self, strip):
        for add in self._add:
            add(strip)


class MapLayer(Sink):
    """The objects as polygons, see ``unet.prediction.map_layer``.

    Args:
        ending: ``"geojson"`` or ``"gpkg"``.
        outlining: ``unet.geometry.outlining.Outlining``.
        longitude_latitude, heights: see ``Layer``.
    """

    def __init__(
        self,
        source,
        classes,
        ending,
        outlining,
        longitude_latitude=False,
        heights=None,
    ):
        self._name = f"{source.name}.{ending}"
        self._classes, self._outlining = classes, outlining
        self._how = longitude_latitude, heights

    def files(self):
        return [self._name]

    def notes(self):
        return [f"{self._name}: {self._layer.count} polygons"]

    def open(self, source, directory):
        self._layer = Layer(
            directory / self._name,
            source.shape,
            self._classes,
            source.place,
            self._outlining,
            *self._how,
        )
        self.stack.enter_context(self._layer)

    def add(self, strip):
        self._layer.add(strip)


class Overlay(Sink):
    """A picture of the image with its classes tinted and outlined.

    Args:
        heights: of each class: how objects that touch come apart, see
            ``unet.geometry.separation.separate``; None: they do not.
    """

    def __init__(self, source, classes, heights=None):
        self._name, self._classes = f"{source.name}_overlay.png", classes
        self._heights = heights or [None] * len(classes)

    def files(self):
        return [self._name]

    def open(self, source, directory):
        self._path = directory / self._name
        self._picture = Picture(source.shape, len(self._classes))
        self._objects = {
            number: SceneObjects(source.shape, height)
            for number, height in enumerate(self._heights, start=1)
            if height is not None
        }

    def add(self, strip):
        self._picture.add(strip.image, strip.ids)
        several = strip.probability.shape[-1] > 1
        for number, objects in self._objects.items():
            own = strip.probability[..., number if several else 0]
            mask, edge = strip.ids == number, strip.edge
            parts = objects.add(mask, own, strip.top, edge=edge)
            self._outline(parts)

    def _outline(self, parts):
        for part in parts:
            self._picture.outline(part)

    def close(self):
        for objects in self._objects.values():
            self._outline(objects.close())
        write_png(self._path, self._picture.overlay())


class Uncertain(Sink):
    """A picture of the places of which the prediction is least sure.

    Attributes:
        uncertain: ``UncertainPlaces``, once it is open.
    """

    def __init__(self, source):
        self._name = f"{source.name}_uncertain.png"

    def files(self):
        return [self._name]

    def open(self, source, directory):
        # The network's own input, in pixels of the scene.
        shape, tiling = source.shape, source.tiling
        window = round(tiling.input[1] * shape[1] / tiling.shape[1])
        window = max(1, min(window, *shape))
        self._path = directory / self._name
        self.uncertain = UncertainPlaces(shape, window, source.place)

    def add(self, strip):
        self.uncertain.add(strip)

    def close(self):
        from unet.pictures import figures  # Matplotlib is slow to import

        self.uncertain.close()
        places, titles = self.uncertain.places, self.uncertain.titles()
        figure = figures.place_grid(places, titles)
        figures.save_figure(figure, self._path)


class Judgement(Sink):
    """Scores of a scene, and a picture of its errors, by a truth in rows.

    Args:
        truth: of ``unet.prediction.truth.open_truth``.
        scores: ``unet.scoring.scores.Scores``, to which the scene is added.
        heights: how objects come apart, see ``unet.scoring.objects.Objects``.
    """

    def __init__(self, source, truth, scores, heights=None):
        self._name = f"{source.name}_errors.png"
        self._truth, self._scores, self._heights = truth, scores, heights

    def files(self):
        return [self._name]

    def open(self, source, directory):
        self._path = directory / self._name
        self._errors = Picture(source.shape, 4)
        self._image = self._scores.begin(
            source.name, source.shape, self._heights
        )

    def add(self, strip):
        truth, instances = self._truth.rows(strip.top, len(strip.ids))
        outcome = outcomes(truth, strip.ids) * strip.known
        self._errors.add(strip.image, outcome)
        self._image.add(
            truth,
            strip.ids,
            strip.probability,
            strip.known,
            Objects(true=instances, edge=strip.edge),
        )

    def close(self):
        self._image.close()
        write_png(self._path, self._errors.errors())
        self._truth.close()


class WholeImage(Sink):
    """Joins strips for what needs an image as a whole.

    Args:
        source: the image; the masks beside it are its truth.
        classes: foreground class names.
        receivers: functions of the source, a ``Strip`` of the whole image,
            and its truth (``unet.imagery.mask_values.Truth``; None: not
            known).
    """

    def __init__(self, source, classes, receivers):
        self._classes, self._receivers = classes, receivers

    def open(self, source, directory):
        self._source, self._whole = source, None

    def add(self, strip):
        shape = self._source.shape
        if strip.ids.shape == shape:
            self._whole = strip
            return
        if self._whole is None:
            self._whole = Strip(
                0,
                np.empty((*shape, 3), np.uint8),
                np.empty(shape, np.uint8),
                np.empty((*shape, strip.probability.shape[-1]), np.float32),
                np.empty(shape, bool),
                None if strip.edge is None else np.empty(shape, np.float32),
            )
        for name in ("image", "ids", "probability", "known", "edge"):
            rows = getattr(strip, name)
            if rows is not None:
                getattr(self._whole, name)[strip.rows] = rows

    def close(self):
        sample, shape = self._source.sample, self._source.shape
        truth = None
        if sample.masks is not None:
            truth = read_truth(sample, self._classes, shape)
        for receive in self._receivers:
            receive(self._source, self._whole, truth)
