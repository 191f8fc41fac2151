"""A model brought nearer to a place of which nothing is labelled.

Batch normalisation centres what a layer gives by its mean and variance over
the training images. Other ground and another camera move both. The images to
be predicted tell by how much (Li et al. 2017, AdaBN), and a share of the way
is enough (Schneider et al. 2020).
"""

from collections import defaultdict
from contextlib import suppress
from dataclasses import replace

import numpy as np

from unet.files.errors import DataError
from unet.imagery.contrast import enhance
from unet.imagery.resizing import resize_image
from unet.prediction.photos import BATCH, probabilities_of
from unet.prediction.scenes import Windows, filled
from unet.prediction.stream import find_sources, open_scene
from unet.prediction.strip import new_strip

# Views that statistics are taken from.
_FEWEST, _MOST = 16, 64
# Of a row of windows, at least: reading rows takes the time in large scenes.
_OF_A_ROW = 8


def views(samples, contract, settings, seed=0):
    """Some of what the network will see, drawn at random.

    A photo is one view, a scene as many as it has windows. Damaged images
    are left out.

    Args:
        samples: list of ``unet.files.folders.Sample``.
        contract: of the model.
        settings: ``unet.prediction.strip.Settings``.
        seed: of the draw.

    Returns:
        uint8 or uint16, n x height x width x bands, of the network's own
        size; 16 to 64.

    Raises:
        DataError: there are fewer.
    """
    settings = replace(settings, overlap=0.0)
    sources = find_sources(samples, contract, settings)
    rng = np.random.default_rng(seed)
    rows = [(source, row) for source in sources for row in _rows(source)]
    drawn, total = defaultdict(list), 0
    for source, row in (rows[k] for k in rng.permutation(len(rows))):
        if total < _MOST:
            drawn[source.name].append(row)
            total += _most_of_a_row(source)
    found = []
    for source in sources:
        own = drawn[source.name]
        # A damaged image is refused where it is predicted.
        with suppress(DataError):
            found += _views_of(source, own, contract, settings, rng)
    if len(found) < _FEWEST:
        raise DataError(
            f"{samples[0].image}: expected at least {_FEWEST} images, or "
            f"windows of scenes, for --adapt, found {len(found)}. Give more "
            "images of the place, or leave --adapt out."
        )
    return np.stack([found[k] for k in rng.permutation(len(found))[:_MOST]])


def _rows(source):
    """Numbers of the rows of windows of a source."""
    whole = source.is_photo or source.tiling.fits
    return range(1 if whole else len(source.tiling.rows.starts))


def _most_of_a_row(source):
    """How many windows are drawn from a row of them."""
    rows = len(_rows(source))
    return min(source.windows // rows, max(_OF_A_ROW, -(-_MOST // rows)))


def _views_of(source, rows, contract, settings, rng):
    """Views of one source, of some of its rows: uint8 arrays."""
    if source.is_photo and rows:
        image = settings.bands.read(source.sample.image)
        yield _seen_whole(image, contract, settings)
    if source.is_photo or not rows:
        return
    with open_scene(source, settings.bands) as scene:
        if source.tiling.fits:
            image = filled(*scene.read(0, scene.shape[0]))
            yield _seen_whole(image, contract, settings)
            return
        for row in rows:
            starts = source.tiling.rows.starts[row : row + 1]
            windows, _ = Windows(scene, source.tiling, settings).read(starts)
            order = rng.permutation(len(windows))
            for k in order[: _most_of_a_row(source)]:
                yield windows[k]


def _seen_whole(image, contract, settings):
    small = resize_image(image, contract.size).reshape(*contract.size, -1)
    return enhance(small, settings.contrast)


def normalising(model):
    """The layers of a model that keep statistics: list of Keras layers."""
    from unet.network.backend import keras  # slow to import

    kept = keras.layers.BatchNormalization
    return [layer for layer in model.layers if isinstance(layer, kept)]


def adapt(model, seen, share):
    """Move the statistics of a model towards those of some images, in place.

    Args:
        model: of ``unet.network.model.load``.
        seen: of ``views``.
        share: 0 leaves the model as it was, 1 forgets the training images'
            statistics.
    """
    layers = normalising(model)
    trained = [_statistics(layer) for layer in layers]
    _measure(model, layers, seen)
    for layer, old in zip(layers, trained, strict=True):
        new = _statistics(layer)
        layer.moving_mean.assign((1 - share) * old[0] + share * new[0])
        layer.moving_variance.assign((1 - share) * old[1] + share * new[1])


def _statistics(layer):
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()


def _measure(model, layers, seen):
    """Give layers the statistics of some images: the mean over batches."""
    kept = [layer.momentum for layer in layers]
    dropouts = [(o, o.rate) for o in model.layers if hasattr(o, "rate")]
    for dropout, _ in dropouts:
        dropout.rate = 0
    for first in range(0, len(seen), BATCH):
        batch = seen[first : first + BATCH].astype(np.float32)
        for layer in layers:
            layer.momentum = first / (first + len(batch))
        model([batch], training=True)
    for layer, momentum in zip(layers, kept, strict=True):
        layer.momentum = momentum
    for dropout, rate in dropouts:
        dropout.rate = rate


def masks_of(model, seen, settings):
    """What a model says of views.

    Args:
        model: of ``unet.network.model.load``.
        seen: uint8 or uint16, n x H x W x bands.
        settings: ``unet.prediction.strip.Settings``.

    Returns:
        List of uint8, H x W, class ids.
    """
    from unet.network.model import joined

    settings = replace(settings, seams=len(model.outputs) > 1)
    answers = probabilities_of(joined(model), seen, settings.flips)
    known = np.ones(seen.shape[1:3], bool)
    return [
        new_strip(0, image, known, answer, settings).ids
        for image, answer in zip(seen, answers, strict=True)
    ]
