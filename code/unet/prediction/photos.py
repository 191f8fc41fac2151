"""From images and a model to probabilities and class ids."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from unet.geometry.masks import to_ids
from unet.imagery.contrast import enhance
from unet.imagery.mask_values import read_class_ids
from unet.imagery.reading import read_image
from unet.imagery.resizing import resize_image
from unet.imagery.turns import inverse, symmetry

BATCH = 16


def predict(model, images, contrast="none", flips=False):
    """Probabilities of images of any size.

    Each image is resized to the network's input as a whole, and its
    probabilities are resized back, before any threshold: a mask resized
    after it would have stairs.

    Args:
        model: of ``unet.network.model``.
        images: list of uint8, H x W x 3.
        contrast: how the model's images are enhanced, as its contract says.
        flips: see ``probabilities_of``.

    Returns:
        List of float32, H x W x 1 (or x classes), 0 to 1.
    """
    size = model.input_shape[1:3]
    resized = [resize_image(image, size) for image in images]
    batch = np.stack([enhance(image, contrast) for image in resized])
    probabilities = probabilities_of(model, batch, flips)
    return [
        _resize_back(probability, image.shape[:2])
        for probability, image in zip(probabilities, images, strict=True)
    ]


def probabilities_of(model, batch, flips=False):
    """What the network says of images of its own size.

    Args:
        model: of ``unet.network.model``.
        batch: uint8, n x H x W x 3.
        flips: show it each image in all flips and quarter turns (only flips
            and the half turn if it is not square), and take the mean.

    Returns:
        float32, n x H x W x 1 (or x classes).
    """
    if not flips:
        return model.predict_on_batch(batch)
    square = batch.shape[1] == batch.shape[2]
    numbers = range(0, 8, 1 if square else 2)
    total = 0
    for number in numbers:
        turned = [symmetry(image, number) for image in batch]
        found = model.predict_on_batch(np.stack(turned))
        total += np.stack([symmetry(one, inverse(number)) for one in found])
    return total / len(numbers)


def _resize_back(probability, shape):
    resized = resize_image(probability, shape)
    # OpenCV drops a channel axis of length one.
    return resized.reshape(*shape, probability.shape[-1])


@dataclass
class Prediction:
    """What is known of one image after prediction.

    Attributes:
        name: the sample's name.
        image: uint8, H x W x 3.
        truth: uint8, H x W, class ids; None if the sample is unlabelled.
        ids: uint8, H x W, predicted class ids.
        probability: float32, H x W x 1 (of class 1) or x classes.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray | None
    ids: np.ndarray
    probability: np.ndarray

    def smaller(self, most=1000):
        """The same to look at: at most so many pixels a side."""
        step = -(-max(self.ids.shape) // most)
        if step == 1:
            return self
        parts = (self.image, self.truth, self.ids, self.probability)
        return Prediction(
            self.name,
            *(
                None if part is None else part[::step, ::step].copy()
                for part in parts
            ),
        )


def predict_samples(
    model,
    samples,
    classes,
    threshold,
    contrast="none",
    flips=False,
    bands=None,
):
    """Predict samples at their own size, in batches.

    Args:
        model: of ``unet.network.model``.
        samples: list of ``unet.files.folders.Sample``, labelled or not.
        classes: foreground class names, as the model knows them.
        threshold: see ``to_ids``.
        contrast, flips: see ``predict``.
        bands: see ``unet.imagery.reading.read_image``.

    Yields:
        A ``Prediction`` a sample.

    Raises:
        DataError: an image or a mask cannot be read.
    """
    parts = [samples[i : i + BATCH] for i in range(0, len(samples), BATCH)]
    read = partial(_read, classes, bands)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reading = [pool.map(read, part) for part in parts[:1]]
        for number, part in enumerate(parts):
            pairs = list(reading.pop())
            # The next images are read while the network computes.
            reading += [
                pool.map(read, following)
                for following in parts[number + 1 : number + 2]
            ]
            images = [image for image, _ in pairs]
            results = predict(model, images, contrast, flips)
            for sample, (image, truth), probability in zip(
                part, pairs, results, strict=True
            ):
                ids = to_ids(probability, threshold)
                yield Prediction(sample.name, image, truth, ids, probability)


def _read(classes, bands, sample):
    """An image and its class ids, or None where nobody knows them."""
    image = read_image(sample.image, bands)
    if sample.masks is None:
        return image, None
    return image, read_class_ids(sample, classes, image.shape[:2])
