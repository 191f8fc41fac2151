"""What the network is asked to make small."""

from unet.files.errors import DataError
from unet.files.folders import UNKNOWN
from unet.network.backend import keras
from unet.network.model import MASK, SEAMS

LOSSES = ("bce", "bce+dice", "focal", "tversky")
# Lin et al. 2017 (arXiv:1708.02002) and Salehi et al. 2017
# (arXiv:1706.05721): what is missed costs more than what is invented.
_GAMMA = 2.0
_INVENTED, _MISSED = 0.3, 0.7
_SEAM_WEIGHT = 1.0  # what seams count beside the mask
# Overlap is counted over all pixels of a batch, class by class: in an image
# without a single object any prediction at all would cost everything.
_BATCH = (0, 1, 2)
ops = keras.ops


def balanced(class_weights, shares):
    """What a pixel of each class counts, in numbers.

    Args:
        class_weights: None (all the same), ``["balanced"]`` (the classes
            count alike, and the mean pixel 1), or one number per class.
        shares: of all pixels, one per class, the background first.

    Returns:
        List of floats, or None; 0 for a class without a pixel to balance.
    """
    if class_weights != ["balanced"]:
        return class_weights
    present = sum(share > 0 for share in shares)
    return [float(1 / (present * s)) if s > 0 else 0.0 for s in shares]


def loss(name, classes, class_weights=None, objects=False, ignoring=False):
    """A loss for ``compile``; truth is N x H x W x 1, class ids.

    With ``ignoring`` means are taken over the labelled pixels of a batch.

    Args:
        name: one of ``LOSSES``. ``bce`` is the binary cross-entropy, or the
            categorical one for several classes; Dice is then the mean over
            all classes with the background, which Tversky always is.
        classes: foreground class names.
        class_weights: what a pixel of each class counts in the cross-entropy
            or the focal loss, the background first; None: all the same.
        objects: for a network with two outputs: a dict, by their names.
        ignoring: whether truth may be ``UNKNOWN``, which then counts nowhere.

    Raises:
        DataError: there is not one weight for each class, or the loss counts
            no pixels that could have a weight.
    """
    if class_weights is not None:
        _check_class_weights(name, classes, class_weights)
    of_mask = _of_mask(name, len(classes) + 1, class_weights, ignoring)
    of_seams = _of_labelled(seam_loss, ignoring)
    return {MASK: of_mask, SEAMS: of_seams} if objects else of_mask


def seam_loss(truth, probability, labelled=None):
    """Of seams and borders: cross-entropy, and overlap in the batch.

    Seams are few pixels. With the cross-entropy alone there would be none.

    Args:
        truth, probability: N x H x W x 2.
        labelled: N x H x W x 1, 1 where truth counts, else 0; None: it does.
    """
    truth = ops.cast(truth, probability.dtype)
    entropy = keras.losses.binary_crossentropy(truth, probability)
    overlap = _dice(truth, probability, labelled)
    return _SEAM_WEIGHT * (_mean(entropy, labelled) + ops.mean(overlap))


def _of_labelled(function, ignoring):
    """A loss of truth and probability, of one that is told what counts."""
    if not ignoring:
        return function

    def of_labelled(truth, probability):
        labelled = truth != UNKNOWN
        truth = ops.where(labelled, truth, ops.zeros_like(truth))
        # Seams and borders are known in the same pixels.
        labelled = ops.cast(labelled[..., :1], probability.dtype)
        return function(truth, probability, labelled)

    return of_labelled


def _mean(values, labelled):
    """Mean of values, N x H x W, where they count."""
    if labelled is None:
        return ops.mean(values)
    labelled = ops.squeeze(labelled, -1)
    return ops.sum(values * labelled) / ops.maximum(ops.sum(labelled), 1)


def _dice(truth, probability, labelled):
    """Dice loss over a batch by class, N x H x W x classes."""
    if labelled is not None:
        truth = ops.cast(truth, probability.dtype) * labelled
        probability = probability * labelled
    return keras.losses.dice(truth, probability, axis=_BATCH)


def _of_mask(name, total, class_weights, ignoring):
    if name == "bce" and class_weights is None and not ignoring:
        # Categorical cross-entropy on class ids instead of one-hot labels.
        sparse = "sparse_categorical_crossentropy"
        return "binary_crossentropy" if total == 2 else sparse

    def one_hot(truth):
        return truth if total == 2 else ops.one_hot(_ids(truth), total)

    def of_pixels(function, truth, probability, labelled, **options):
        values = function(one_hot(truth), probability, **options)
        if class_weights is not None:
            table = ops.convert_to_tensor(class_weights, values.dtype)
            values = values * ops.take(table, _ids(truth), axis=0)
        return _mean(values, labelled)

    def entropy(truth, probability, labelled=None):
        function = keras.losses.binary_crossentropy
        if total > 2:
            function = keras.losses.categorical_crossentropy
        return of_pixels(function, truth, probability, labelled)

    def entropy_and_dice(truth, probability, labelled=None):
        overlap = _dice(one_hot(truth), probability, labelled)
        return entropy(truth, probability, labelled) + ops.mean(overlap)

    def focal(truth, probability, labelled=None):
        if total == 2:
            function, options = keras.losses.binary_focal_crossentropy, {}
        else:
            function = keras.losses.categorical_focal_crossentropy
            options = {"alpha": 1.0}
        options["gamma"] = _GAMMA
        return of_pixels(function, truth, probability, labelled, **options)

    def tversky(truth, probability, labelled=None):
        return _tversky(truth, probability, total, labelled)

    functions = (entropy, entropy_and_dice, focal, tversky)
    chosen = dict(zip(LOSSES, functions, strict=True))[name]
    return _of_labelled(chosen, ignoring)


def _tversky(truth, probability, total, labelled):
    """Tversky loss, the mean over all classes with the background.

    Keras 3.15 has one, in which the two costs are swapped. With the class
    alone, all pixels rise together until they are 1 and no gradient is left;
    the background holds them back.
    """
    truth = ops.one_hot(_ids(truth), total, dtype=probability.dtype)
    if total == 2:
        probability = ops.concatenate([1 - probability, probability], -1)
    if labelled is not None:
        # Of a pixel without truth and probability no sum changes.
        truth, probability = truth * labelled, probability * labelled
    shared = ops.sum(truth * probability, _BATCH)
    invented = ops.sum((1 - truth) * probability, _BATCH)
    missed = ops.sum(truth * (1 - probability), _BATCH)
    # What the background invents is an object that is missed.
    background = ops.arange(total) == 0
    invented *= ops.where(background, _MISSED, _INVENTED)
    missed *= ops.where(background, _INVENTED, _MISSED)
    whole = shared + invented + missed + keras.config.epsilon()
    return 1 - ops.mean(shared / whole)


def _ids(truth):
    """Class ids as integers, without the last axis."""
    return ops.cast(ops.squeeze(truth, -1), "int32")


def _check_class_weights(name, classes, class_weights):
    if name == "tversky":
        raise DataError(
            "class weights: tversky counts overlap and has no use for them. "
            "Leave them out, or use bce, bce+dice or focal."
        )
    if "balanced" in class_weights or len(class_weights) != len(classes) + 1:
        names = ", ".join(["background", *classes])
        raise DataError(
            f"class weights: expected {len(classes) + 1} numbers ({names}), "
            f"found {' '.join(map(str, class_weights))}. Give one for each, or "
            "'balanced' alone."
        )
