"""One stream of strips: photos and scenes of any size to class ids.

A photo is a scene of one strip. To see what is made of the strips go to
``unet.prediction.sinks``.
"""

from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np

from unet.files.errors import DataError
from unet.files.folders import Sample
from unet.imagery.bands import PICTURES
from unet.imagery.bounds import MOST_PIXELS
from unet.imagery.georeference import Georeference, read_georeference
from unet.imagery.mask_values import read_truth
from unet.imagery.rasters import Scene, refuse_endless
from unet.imagery.stored import stored_as
from unet.network.exported import Exported
from unet.prediction.photos import photo_strips
from unet.prediction.scaling import scales
from unet.prediction.scenes import strips
from unet.prediction.strip import DEFAULTS
from unet.prediction.windows import Tiling

# Pixels up to which a predicted scene may be held whole.
_MOST_WHOLE = 2**25
# Longest side in pixels of an image that shows all its places at a glance.
_AT_A_GLANCE = 2000
# More than a model of drone images makes of a satellite's.
_MOST_ENLARGED = 8


@dataclass(frozen=True)
class Source:
    """An image to predict.

    Attributes:
        sample: ``unet.files.folders.Sample``.
        tiling: the windows of a scene; None: a photo, which the network sees
            as a whole.
        shape: (H, W) as the eye sees it; None: not read yet.
        is_raster: whether it is a georeferenced raster; its masks are, too.
        place: where a streamed scene lies on the ground, or None.
    """

    sample: Sample
    tiling: Tiling | None = None
    shape: tuple[int, int] | None = None
    is_raster: bool = False
    place: Georeference | None = None

    @property
    def name(self):
        """What its results are called."""
        return self.sample.name

    @property
    def is_photo(self):
        """Whether the network sees it as a whole."""
        return self.tiling is None

    @property
    def windows(self):
        """How often the network looks at it."""
        return 1 if self.is_photo else self.tiling.tiles

    @property
    def ending(self):
        """Of its masks: rasters become GeoTIFF."""
        return ".tif" if self.is_raster else ".png"

    @property
    def is_large(self):
        """Whether a scene is too large to be held whole without need."""
        pixels = np.prod(self.shape or 0, dtype=float)
        return not self.is_photo and pixels > _MOST_WHOLE

    def scale(self, size):
        """Pixels of the network's input for a pixel of it: rows and columns.

        Args:
            size: (height, width) of the input.

        Returns:
            float, the geometric mean of both.
        """
        whole = self.is_photo or self.tiling.fits
        seen = size if whole else self.tiling.shape
        return float(np.sqrt(np.prod(seen) / np.prod(self.shape)))

    @property
    def streams(self):
        """Whether it is read by rows, and its prediction can be resumed."""
        return not self.is_photo and (
            self.is_raster or (self.is_large and not self.tiling.fits)
        )

    @property
    def has_places(self):
        """Whether parts of it deserve pictures of their own."""
        return not self.is_photo and (
            self.is_raster
            or (max(self.shape) > _AT_A_GLANCE and not self.tiling.fits)
        )


def find_sources(samples, contract, settings):
    """Tell scenes from photos.

    Scenes are images larger than the network's input at its ground scale,
    and georeferenced rasters.

    Args:
        samples: list of ``unet.files.folders.Sample``.
        contract: of the model.
        settings: ``Settings``.

    Returns:
        List of ``Source``, scenes first: they take longest, and what is
        interrupted should not begin with the others.
    """
    sources = [_source(sample, contract, settings) for sample in samples]
    return sorted(sources, key=lambda source: source.is_photo)


def usable_sources(samples, contract, settings):
    """``find_sources``, where an image that is none does not stop the others.

    Returns:
        (list of ``Source``, list of sentences: what is wrong with others).
    """
    sources, refused = [], []
    for sample in samples:
        try:
            sources += find_sources([sample], contract, settings)
        except DataError as error:
            refused.append(str(error))
    return sorted(sources, key=lambda source: source.is_photo), refused


def _source(sample, contract, settings):
    stored = stored_as(sample.image)
    if stored is None:
        return Source(sample)  # reading it as a photo says what is wrong
    refuse_endless(sample.image, stored)
    shape = stored.upright_shape
    place = read_georeference(sample.image)
    resolution = place and place.resolution(shape)
    factors = scales(contract, resolution, settings.scale)
    if factors is not None:
        _refuse_enlarged(sample.image, shape, factors)
    step = 2**contract.training.depth
    tiling = Tiling(shape, factors, contract.size, settings.overlap, step)
    is_raster = place is not None and not stored.is_photo
    if tiling.fits and not is_raster:
        return Source(sample, shape=tuple(shape))
    source = Source(sample, tiling, tuple(shape), is_raster)
    return replace(source, place=place) if source.streams else source


def _refuse_enlarged(path, shape, factors):
    """Raise DataError where the network would see far more than there is."""
    height, width = np.multiply(shape, factors)
    if height * width > MOST_PIXELS and max(factors) > _MOST_ENLARGED:
        raise DataError(
            f"{path}: the network would see {width:.0f} x {height:.0f} pixels "
            f"(width x height) of it, expected at most {MOST_PIXELS}. Give "
            "--scale a smaller number."
        )


def predict(model, sources, settings, work_of=None, watch=None):
    """Predict images from the top to the bottom, scenes first.

    Args:
        model: of ``unet.network.model``, an ``Exported`` one, or the
            ``Networks`` of one of these.
        sources: list of ``Source``.
        settings: ``Settings``.
        work_of: function that returns the directory of a source in which
            finished rows are kept, so that an interrupted prediction goes
            on there; None: nothing is kept.
        watch: called with the source, the number of its windows that were
            just finished, and the seconds they took in the network (0 for
            those of an earlier call); at the beginning of a scene with none.

    Yields:
        (``Source``, ``Strip``), from a photo one strip, from a scene strips
        of ``unet.imagery.rasters.ROWS`` rows. In place of a strip that cannot
        be had, because the image is damaged, comes its ``DataError``, and
        then the next image.
    """
    watch = watch or (lambda source, windows, seconds: None)
    scenes = [source for source in sources if not source.is_photo]
    if not isinstance(model, Networks):
        model = networks_of(model, bool(scenes))
    settings = replace(settings, seams=model.seams)
    for source in scenes:
        watch(source, 0, 0.0)
        work = work_of and source.streams and work_of(source)
        # What fits is resized to the network's own size.
        own = model.whole if source.tiling.fits else model.any_size
        try:
            strips = _scene_strips(own, source, settings, work, watch)
            # A variable would keep each strip while the next one is made.
            yield from map(_pair, repeat(source), strips)
        except DataError as error:
            yield source, error
    photos = [source for source in sources if source.is_photo]
    paths = [photo.sample.image for photo in photos]
    made = photo_strips(model.whole, paths, settings)
    for photo, strip in zip(photos, made, strict=True):
        if not isinstance(strip, DataError):
            photo = replace(photo, shape=strip.ids.shape)
        yield photo, strip
        watch(photo, 1, 0.0)


def _pair(*pair):
    return pair


@dataclass(frozen=True)
class Networks:
    """A model, ready for images of every kind.

    Attributes:
        whole: the network for images of its own size.
        any_size: the same for images of any size.
        seams: whether it has learned seams.
    """

    whole: object
    any_size: object
    seams: bool


def networks_of(model, scenes=True):
    """``Networks``, which many calls of ``predict`` may share.

    Args:
        model: of ``unet.network.model``, or an ``Exported`` one.
        scenes: whether any image has another size than the network's.
    """
    if isinstance(model, Exported):
        return Networks(model, model, model.seams)
    # Keras is slow to import, and no exported network needs it.
    from unet.network.model import any_size, joined

    whole = joined(model)
    larger = any_size(whole) if scenes else whole
    return Networks(whole, larger, whole is not model)


def predict_labelled(model, samples, classes, settings=DEFAULTS):
    """Predict labelled samples, all seen as a whole, beside their truth.

    Args:
        model: of ``unet.network.model``.
        samples: list of labelled ``unet.files.folders.Sample``.
        classes: foreground class names.
        settings: ``Settings``.

    Yields:
        (name, truth, strip) of each sample: its name; a
        ``unet.imagery.mask_values.Truth``; a ``Strip`` of the whole image.

    Raises:
        DataError: an image or a mask cannot be read.
    """
    sources = [Source(sample) for sample in samples]
    for source, strip in predict(model, sources, settings):
        if isinstance(strip, DataError):
            raise strip
        truth = read_truth(source.sample, classes, strip.ids.shape)
        yield source.name, truth, strip


def _scene_strips(model, source, settings, work, watch):
    """The strips of one scene."""

    def finished(windows, seconds):
        watch(source, windows, seconds)

    rows = work and Path(work) / "probabilities"
    with open_scene(source, settings.bands) as scene:
        yield from strips(
            model, scene, source.tiling, settings, rows or None, finished
        )


def open_scene(source, bands=PICTURES):
    """A ``Scene`` of a ``Source`` that is no photo.

    Args:
        source: the ``Source``.
        bands: ``unet.imagery.bands.Bands``.

    Raises:
        DataError: the image is damaged.
    """
    path = source.sample.image
    if source.streams:
        return Scene(path, bands)
    return Scene.of_array(bands.read(path))
