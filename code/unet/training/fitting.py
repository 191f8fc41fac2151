"""What a training needs beside batches: statistics, metrics, optimizer."""

import math
from dataclasses import asdict, replace
from importlib import import_module

import numpy as np

from unet.files.folders import UNKNOWN
from unet.imagery.bands import DEPTHS, PICTURES, Bands
from unet.network.backend import half_precision, keras
from unet.network.contract import Contract, Preprocessing, read_contract
from unet.network.model import MASK, SEAMS
from unet.training.array_files import in_turn


def channel_statistics(X, rows, limits=None):
    """Mean and variance of each channel of images divided by 255.

    Args:
        X: uint8 or uint16, N x H x W x channels.
        rows: the rows that count.
        limits: (low, high) of each channel: what the network brings to 0 and
            255 first; None: nothing, values of 8 bits.

    Returns:
        (mean, variance): lists of a float for each channel.
    """
    channels, bins = X.shape[-1], np.iinfo(X.dtype).max + 1
    counts = np.zeros((channels, bins), np.int64)
    for image in in_turn(X, rows):
        for channel in range(channels):
            values = image[..., channel].ravel()
            counts[channel] += np.bincount(values, minlength=bins)
    share = counts / counts.sum(axis=1, keepdims=True)
    if limits is None:
        levels = np.arange(bins) / 255
        mean = share @ levels
    else:
        every = np.repeat(np.arange(bins)[:, None], channels, axis=1)
        levels = Bands.stretched(every, limits).T.astype(float)
        mean = (share * levels).sum(axis=1)
    variance = (share * (levels - mean[:, None]) ** 2).sum(axis=1)
    return mean.tolist(), variance.tolist()


def metric_name(classes):
    """Name of the metric that counts: IoU of what is looked for."""
    return f"{classes[0] if len(classes) == 1 else 'foreground'}_iou"


def metrics(classes, objects=False):
    """Mean IoU and foreground IoU for the progress bar, as Keras metrics.

    Args:
        classes: foreground class names.
        objects: for a network with two outputs: a dict, by their names.

    Pixels that nobody labelled do not count.
    """
    of_mask = _of_mask(classes)
    for metric in of_mask:
        metric.ignore_class = UNKNOWN  # BinaryIoU takes it in no other way
    return {MASK: of_mask, SEAMS: []} if objects else of_mask


class MeanIoU(keras.metrics.MeanIoU):
    """Mean IoU that leaves out a background which no true pixel has."""

    def result(self):
        """The mean over the classes that are there."""
        counts = keras.ops.cast(self.total_cm, "float32")
        both = keras.ops.diagonal(counts)
        true = keras.ops.sum(counts, axis=1)
        union = true + keras.ops.sum(counts, axis=0) - both
        there = keras.ops.cast(union > 0, "float32")
        background = keras.ops.cast(true[:1] > 0, "float32")
        there *= keras.ops.concatenate([background, there[1:]])
        scores = keras.ops.divide_no_nan(both, union) * there
        return keras.ops.divide_no_nan(
            keras.ops.sum(scores), keras.ops.sum(there)
        )


def _of_mask(classes):
    name = metric_name(classes)
    if len(classes) == 1:
        # MeanIoU would truncate the sigmoid's probabilities to zero.
        return [
            keras.metrics.BinaryIoU([0, 1], threshold=0.5, name="mean_iou"),
            keras.metrics.BinaryIoU([1], threshold=0.5, name=name),
        ]
    total = len(classes) + 1
    foreground = list(range(1, total))
    return [
        MeanIoU(total, sparse_y_pred=False, name="mean_iou"),
        keras.metrics.IoU(total, foreground, sparse_y_pred=False, name=name),
    ]


def optimizer(
    learning_rate,
    running_mean=True,
    clip_norm=0,
    weight_decay=0,
    mixed_precision=False,
):
    """Adam that also keeps a running mean of the weights.

    With dropout and few images the weights jump from step to step, and the
    validation with them: patience could end by bad luck. The mean over about
    the last 100 steps is calm (Polyak and Juditsky 1992; ``use_ema`` of
    Keras). It lags: in the first ten epochs on the real tiles the weights
    themselves scored higher.

    Args:
        learning_rate: of Adam.
        running_mean: False leaves the mean out: what is validated and saved
            are the weights of the last step.
        clip_norm: the gradient of all weights together is shortened to this
            length where it is longer (Pascanu et al. 2013); 0: never. In
            small batches most are about 1 long and a few 20.
        weight_decay: share of the kernels taken off in each step, times the
            learning rate (Loshchilov and Hutter 2019); offsets and batch
            normalisation are left alone.
        mixed_precision: in float16 the loss is scaled, so that small
            gradients do not vanish; bfloat16 has the range of 32 bits.
    """
    adam = keras.optimizers.Adam(
        learning_rate,
        global_clipnorm=clip_norm or None,
        weight_decay=weight_decay or None,
        use_ema=running_mean,
        ema_momentum=0.99,
    )
    if weight_decay:
        adam.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if mixed_precision and half_precision() == "float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam


def count_weights(model):
    """Number of trainable weights."""
    return sum(math.prod(w.shape) for w in model.trainable_weights)


def input_statistics(X, rows, normalisation, start_from=None, limits=None):
    """Mean and variance that the network centres its input by.

    Args:
        X, rows, limits: see ``channel_statistics``.
        normalisation: ``"centred"``, or ``"article"``: not at all.
        start_from: path of a model that brings its own, or None.

    Returns:
        (mean, variance): lists of a float for each channel, or None twice.
    """
    if start_from:
        before = read_contract(start_from).preprocessing
        return before.mean, before.variance
    if normalisation == "article":
        return None, None
    return channel_statistics(X, rows, limits)


def contract(train, settings, mean, variance, start_from=None, bands=PICTURES):
    """What a model file says of itself, before there are scores.

    Args:
        train: the training ``Dataset``.
        settings: the ``TrainingSettings``.
        mean, variance: of the network's normalisation, or None.
        start_from: path of the model that the training begins with, or None.
        bands: ``unet.imagery.bands.Bands``: what the network sees.

    Returns:
        A ``Contract``.
    """
    packages = ("keras", "numpy", keras.backend.backend())
    return Contract(
        classes=train.classes,
        size=list(train.X.shape[1:3]),
        preprocessing=_preprocessing(train, mean, variance, bands),
        scale=train.scale,
        scales=train.scales,
        resolution=train.resolution,
        training=settings,
        data={"images": len(train.names), "digest": train.digest},
        started_from=_origin(start_from),
        versions={name: import_module(name).__version__ for name in packages},
    )


def _preprocessing(train, mean, variance, bands):
    """How an image becomes the network's input, see ``contract``."""
    plain = Preprocessing(contrast=train.contrast, mean=mean, variance=variance)
    if bands.dtype is None:
        return plain
    depth = DEPTHS[bands.dtype]
    numbers = zip(bands.numbers or (), bands.descriptions, strict=True)
    return replace(
        plain,
        input=f"{', '.join(bands.names())}, values of {depth} as files hold "
        "them, scaled inside the network",
        bands=[
            {"number": number, "description": description}
            for number, description in numbers
        ]
        or None,
        limits=bands.limits and [list(pair) for pair in bands.limits],
    )


def _origin(path):
    """What a model that a training starts from says of its own origin."""
    if path is None:
        return None
    before = read_contract(path)
    return {
        "data": before.data,
        "training": asdict(before.training),
        "started_from": before.started_from,
    }
