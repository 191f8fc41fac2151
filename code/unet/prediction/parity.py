"""Whether an exported network says the same as the one it was made from."""

import time
from dataclasses import dataclass

import numpy as np

from unet.geometry.masks import to_ids
from unet.imagery.contrast import enhance
from unet.imagery.resizing import resize_image
from unet.prediction.photos import BATCH
from unet.prediction.strip import bands_of

# Probabilities may differ by so much, and so far from the threshold a pixel
# may fall to its other side.
MOST, NEAR = 1e-4, 1e-3


@dataclass
class Parity:
    """What a comparison has found.

    Attributes:
        images: number of images that both have seen.
        largest: difference of two probabilities.
        pixels: of all masks.
        differing: of these, of another class.
        far: of these, not near the threshold; of several classes, those whose
            two most probable ones do not lie near each other.
        speeds: images a second of the network and of the exported one.
    """

    images: int = 0
    largest: float = 0.0
    pixels: int = 0
    differing: int = 0
    far: int = 0
    speeds: tuple[float, float] = (0.0, 0.0)

    @property
    def holds(self):
        """Whether the exported network may take the other one's place."""
        return self.largest <= MOST and not self.far

    def add(self, before, after, threshold, channels):
        """Compare the answers to some images.

        Args:
            before, after: float32, N x height x width x channels.
            threshold: from which on a pixel is of the only class.
            channels: of the probabilities; seams and borders follow them.
        """
        self.images += len(before)
        differences = np.abs(before - after)
        # One that is no number is as far off as can be.
        largest = differences.max() if np.isfinite(after).all() else np.inf
        self.largest = max(self.largest, float(largest))
        before, after = before[..., :channels], after[..., :channels]
        other = to_ids(before, threshold) != to_ids(after, threshold)
        if channels == 1:
            margin = np.abs(before[..., 0] - threshold)
        else:
            ordered = np.sort(before, axis=-1)
            margin = ordered[..., -1] - ordered[..., -2]
        self.pixels += other.size
        self.differing += int(other.sum())
        self.far += int((other & (margin > NEAR)).sum())


def batches(paths, contract):
    """Images as the network sees them, and one of other sides at the end.

    Args:
        paths: image files.
        contract: of the model.

    Yields:
        uint8 or uint16, N x height x width x bands.

    Raises:
        DataError: an image cannot be read.
    """
    size, contrast = contract.size, contract.preprocessing.contrast
    bands = bands_of(contract.preprocessing)
    for first in range(0, len(paths), BATCH):
        # OpenCV drops a channel axis of length one.
        resized = [
            resize_image(bands.read(path), size).reshape(*size, -1)
            for path in paths[first : first + BATCH]
        ]
        images = np.stack([enhance(image, contrast) for image in resized])
        yield images
    # Scenes are seen through windows that are no squares.
    yield np.concatenate([images[-1], images[-1][::-1]])[None]


def count_batches(paths):
    """How many ``batches`` yields."""
    return -(-len(paths) // BATCH) + 1


def compare(network, exported, seen, threshold, classes):
    """Show the same images to two networks.

    Args:
        network: of ``unet.network.model.any_size``, with one output.
        exported: a ``unet.network.exported.Exported``.
        seen: of ``batches``.
        threshold: see ``Parity.add``.
        classes: foreground class names.

    Returns:
        ``Parity``.
    """
    parity = Parity()
    channels = len(classes) + 1 if len(classes) > 1 else 1
    timed, seconds, shape = 0, np.zeros(2), None
    for batch in seen:
        if shape is None:
            shape = batch.shape
            # The first of a size takes longer.
            network.predict_on_batch(batch)
            exported.predict_on_batch(batch)
        moments = [time.perf_counter()]
        answers = []
        for each in (network, exported):
            answers.append(each.predict_on_batch(batch))
            moments.append(time.perf_counter())
        if batch.shape == shape:
            timed += len(batch)
            seconds += np.diff(moments)
        parity.add(*answers, threshold, channels)
    parity.speeds = tuple(timed / seconds)
    return parity
