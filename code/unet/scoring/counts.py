"""Counts of pixels, and what follows from them."""

import numpy as np

# Predictions of exactly 0 or 1 would cost infinitely much; Keras' own limit.
_SMALLEST = 1e-7


def confusion(truth, predicted, rows, columns):
    """Count how often each pair of labels meets.

    Args:
        truth, predicted: integer arrays of equal shape, with labels below
            ``rows`` and ``columns``.

    Returns:
        int64 array, rows x columns: rows are the truth.
    """
    index = truth.astype(np.int64).ravel() * columns + predicted.ravel()
    counts = np.bincount(index, minlength=rows * columns)
    return counts.reshape(rows, columns)


def iou(counts):
    """Intersection over union per class of confusion counts.

    Args:
        counts: int array, ... x classes x classes.

    Returns:
        float array, ... x classes; NaN for a class that is neither in the
        truth nor in the prediction.
    """
    both = np.diagonal(counts, axis1=-2, axis2=-1).astype(float)
    union = counts.sum(axis=-1) + counts.sum(axis=-2) - both
    return np.divide(
        both, union, out=np.full_like(both, np.nan), where=union > 0
    )


def cross_entropy(truth, probability):
    """Sum over pixels of -log(probability of the true class).

    Args:
        truth: integer array, H x W, class ids.
        probability: float array, H x W x 1 (of class 1) or x classes.

    Returns:
        float, in nats.
    """
    if probability.shape[-1] == 1:
        p = probability[..., 0].astype(float)
        of_truth = np.where(truth == 1, p, 1 - p)
    else:
        of_truth = np.take_along_axis(
            probability.astype(float), truth[..., None].astype(int), axis=-1
        )
    return float(-np.log(np.clip(of_truth, _SMALLEST, 1)).sum())
