"""Counts of an image that another process has scored."""

import numpy as np


def as_numbers(image):
    """What ``unet.scoring.scores.ImageCounts`` has counted, for JSON: dict."""
    whole = image.edges is not None
    return {
        "counts": image.counts.tolist(),
        "entropy": float(image.entropy),
        "edges": image.edges.tolist() if whole else None,
        "components": image.components.tolist() if whole else None,
        "objects": image.objects().tolist(),
    }


class KeptCounts:
    """In place of the ``ImageCounts`` that they were counted by.

    Args:
        numbers: dict of ``as_numbers``.
    """

    def __init__(self, numbers):
        self.counts = np.array(numbers["counts"], np.int64)
        self.entropy = numbers["entropy"]
        self.edges, self.components = (
            None if numbers[name] is None else np.array(numbers[name], np.int64)
            for name in ("edges", "components")
        )
        self._objects = np.array(numbers["objects"])

    def objects(self):
        """int64, classes x 3: matches, predicted objects, true objects."""
        return self._objects
