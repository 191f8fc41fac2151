"""From images and a model to probabilities and class ids."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from unet.images import read_image, resize_image

BATCH = 16


def predict(model, images):
    """Probabilities of images of any size.

    Each image is resized to the network's input as a whole, and its
    probabilities are resized back, before any threshold: a mask resized
    after it would have stairs.

    Args:
        model: of ``unet.model``.
        images: list of uint8, H x W x 3.

    Returns:
        List of float32, H x W x 1 (or x classes), 0 to 1.
    """
    size = model.input_shape[1:3]
    batch = np.stack([resize_image(image, size) for image in images])
    probabilities = model.predict_on_batch(batch)
    return [
        _resize_back(probability, image.shape[:2])
        for probability, image in zip(probabilities, images, strict=True)
    ]


def _resize_back(probability, shape):
    resized = resize_image(probability, shape)
    # OpenCV drops a channel axis of length one.
    return resized.reshape(*shape, probability.shape[-1])


def predict_files(model, paths):
    """Read and predict images in batches, reading ahead in threads.

    Yields:
        (path, image, probability): uint8 H x W x 3, float32 H x W x K.

    Raises:
        DataError: an image cannot be read.
    """
    parts = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reading = [pool.map(read_image, part) for part in parts[:1]]
        for number, part in enumerate(parts):
            images = list(reading.pop())
            # The next images are read while the network computes.
            reading += [
                pool.map(read_image, following)
                for following in parts[number + 1 : number + 2]
            ]
            results = predict(model, images)
            yield from zip(part, images, results, strict=True)


def to_ids(probability, threshold):
    """Class ids from probabilities.

    Args:
        probability: float, H x W x 1 (of class 1) or x classes.
        threshold: from which on a pixel is class 1; more classes take the
            most probable one.

    Returns:
        uint8, H x W.
    """
    if probability.shape[-1] == 1:
        return (probability[..., 0] >= threshold).astype(np.uint8)
    return probability.argmax(axis=-1).astype(np.uint8)
