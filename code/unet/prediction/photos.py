"""Images that the network sees as a whole: resized to its input, and back."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from unet.files.cores import usable_cores
from unet.files.errors import DataError
from unet.imagery.contrast import enhance
from unet.imagery.resizing import resize_image
from unet.imagery.turns import inverse, symmetry
from unet.network.exported import Exported
from unet.prediction.strip import DEFAULTS, new_strip

BATCH = 16


def probabilities_of_images(model, images, settings=DEFAULTS):
    """Probabilities of images of any size.

    Each image is resized to the network's input as a whole, and its
    probabilities are resized back, before any threshold: a mask resized
    after it would have stairs.

    Args:
        model: of ``unet.network.model``.
        images: list of arrays, H x W x bands, as ``settings.bands`` reads
            them.
        settings: ``Settings``.

    Returns:
        List of float32, H x W x 1 (or x classes), 0 to 1.
    """
    size = model.input_shape[1:3]
    resized = [resize_image(image, size) for image in images]
    # OpenCV drops a channel axis of length one.
    resized = [image.reshape(*size, -1) for image in resized]
    batch = np.stack([enhance(image, settings.contrast) for image in resized])
    probabilities = probabilities_of(model, batch, settings.flips)
    return [
        _resize_back(probability, image.shape[:2])
        for probability, image in zip(probabilities, images, strict=True)
    ]


def probabilities_of(model, batch, flips=False):
    """What the network says of images of its own size.

    Args:
        model: of ``unet.network.model``.
        batch: uint8 or uint16, n x H x W x bands.
        flips: show it each image in all flips and quarter turns (only flips
            and the half turn if it is not square), and take the mean.

    Returns:
        float32, n x H x W x 1 (or x classes).
    """
    if len(batch) == 1 and not isinstance(model, Exported):
        # TensorFlow took 8 to 14 times as long for one image as for two (the
        # model that comes with the project, on a processor).
        return probabilities_of(model, np.repeat(batch, 2, axis=0), flips)[:1]
    if not flips:
        return model.predict_on_batch(batch)
    square = batch.shape[1] == batch.shape[2]
    numbers = range(0, 8, 1 if square else 2)
    total = 0
    for number in numbers:
        turned = np.stack([symmetry(image, number) for image in batch])
        answers = model.predict_on_batch(turned)
        total += np.stack(
            [symmetry(answer, inverse(number)) for answer in answers]
        )
    return total / len(numbers)


def _resize_back(probability, shape):
    resized = resize_image(probability, shape)
    # OpenCV drops a channel axis of length one.
    return resized.reshape(*shape, probability.shape[-1])


def photo_strips(model, paths, settings):
    """Predict image files, each as a whole, in batches.

    Args:
        model: of ``unet.network.model``.
        paths: image files.
        settings: ``Settings``.

    Yields:
        For each file a ``Strip`` of the whole image, or the ``DataError``
        that says why it cannot be read.
    """
    parts = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]

    def read(path):
        try:
            return settings.bands.read(path)
        except DataError as error:
            return error

    with ThreadPoolExecutor(usable_cores()) as pool:
        reading = [pool.map(read, part) for part in parts[:1]]
        for following in [*parts[1:], []]:
            images = list(reading.pop()) if reading else []
            # The next images are read while the network computes.
            reading.append(pool.map(read, following))
            whole = [x for x in images if not isinstance(x, DataError)]
            probabilities = iter(
                probabilities_of_images(model, whole, settings) if whole else ()
            )
            for image in images:
                if isinstance(image, DataError):
                    yield image
                    continue
                known = np.ones(image.shape[:2], bool)
                yield new_strip(0, image, known, next(probabilities), settings)
