"""Encoders that have learned from ImageNet, as the way down of a U-Net.

EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946, in the variant of
Google's ``tpu/models/official/efficientnet/lite``) comes with its weights, up
to a sixteenth of the image's size. Any network of ``keras.applications`` can
take its place; Keras downloads its weights.
"""

import inspect
import sys
from pathlib import Path

import numpy as np

from unet.files.errors import DataError
from unet.network.backend import keras

layers, ops = keras.layers, keras.ops
LITE0 = "efficientnet-lite0"
# Made by tests/benchmarks/encoder_weights.py.
LITE0_WEIGHTS = Path(__file__).parent / "imagenet" / f"{LITE0}.weights.h5"
# Of EfficientNet-Lite0's groups of blocks: repeats, side of the depthwise
# convolution, stride of the first block, expansion, filters.
GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# The name of the layer in which an encoder ends.
END = "encoder"
RANDOM, IMAGENET = "random", "imagenet"
# Channels of the images that encoders have learned from.
COLOURS = 3


def encode(name, image, depth, weights=IMAGENET):
    """Put an encoder behind an image.

    Args:
        name: ``LITE0``, or a function of ``keras.applications``.
        image: tensor, N x height x width x bands, 0 to 255; the first three
            bands are taken for red, green and blue, see ``widened``.
        depth: how often the image is halved.
        weights: ``"imagenet"``, ``"random"``, or the path of a file of the
            encoder's weights, ``.weights.h5`` or what Keras downloads.

    Returns:
        List of ``depth`` tensors: the last maps of each size, halved once,
        twice, and so on.

    Raises:
        DataError: there is no such encoder, its maps do not halve the image
            ``depth`` times, or the weights are not there or of another one.
    """
    make = _lite0 if name == LITE0 else _application
    taps = make(name, image, depth, weights)
    taps[-1] = layers.Activation("linear", name=END)(taps[-1])
    return taps


def check(name):
    """Raise DataError if there is no such encoder."""
    if name != LITE0:
        _find(name)


def freeze(model):
    """Keep the weights of a model's encoder as they are.

    Args:
        model: with an encoder of ``encode``.
    """
    for layer in keras.Model(model.inputs, model.get_layer(END).output).layers:
        layer.trainable = False


def has_encoder(model):
    """Whether a model has an encoder of ``encode``."""
    return any(layer.name == END for layer in model.layers)


def lite0_blocks(image, blocks):
    """The first blocks of EfficientNet-Lite0.

    Args:
        image: tensor, N x height x width x 3, RGB, 0 to 255.
        blocks: how many, up to 16.

    Returns:
        List of tensors: what comes out of each block.
    """
    x = layers.Rescaling(1 / 128, -127 / 128)(image)
    x = convolution(x, 32, 3, 2)
    outputs = []
    for repeats, side, stride, expansion, filters in GROUPS:
        for number in range(repeats):
            before = x
            if expansion > 1:
                x = convolution(x, expansion * x.shape[-1], 1)
            x = layers.DepthwiseConv2D(
                side,
                1 if number else stride,
                padding="same",
                use_bias=False,
                depthwise_initializer="he_normal",
            )(x)
            x = layers.ReLU(6)(_normalised(x))
            x = convolution(x, filters, 1, active=False)
            if number:
                x = layers.Add()([before, x])
            outputs.append(x)
            if len(outputs) == blocks:
                return outputs
    return outputs


def convolution(x, filters, side, stride=1, active=True):
    """Convolution, batch normalisation and ReLU6, as EfficientNet-Lite0."""
    x = _normalised(
        layers.Conv2D(
            filters,
            side,
            stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
        )(x)
    )
    return layers.ReLU(6)(x) if active else x


def _normalised(x):
    # Keras' own epsilon is the original's; see ``unet.network.model`` for why
    # the momentum is not.
    return layers.BatchNormalization(momentum=0.98)(x)


def _lite0(name, image, depth, weights):
    ends = np.cumsum([group[0] for group in GROUPS])
    # A group whose first stride is 2 begins the next size.
    last = [ends[0], ends[1], ends[2], ends[4], ends[6]]
    if depth > len(last):
        _refuse_depth(name, depth, len(last))
    if depth > 4 and weights == IMAGENET:
        _refuse_depth(f"{name} with the weights that come with it", depth, 4)
    colours = _colours_of(image)
    outputs = lite0_blocks(colours, int(last[depth - 1]))
    taps = [outputs[end - 1] for end in last[:depth]]
    if weights != RANDOM:
        path = LITE0_WEIGHTS if weights == IMAGENET else Path(weights)
        _load(name, keras.Model(colours, taps[-1]), path)
    if colours is image:
        return taps
    return widened(keras.Model(colours, taps), image, weights != RANDOM)


def _colours_of(image):
    """An image as photos are: itself, or another input of its size."""
    if image.shape[-1] == COLOURS:
        return image
    return keras.Input((*image.shape[1:3], COLOURS))


def _load(name, model, path):
    """Load weights from a file."""
    _check_file(name, path)
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise _other_weights(name, path, error) from None


def _check_file(name, path):
    if not path.is_file():
        raise DataError(
            f"{path}: expected weights of {name}, found nothing. Give another "
            f"file, or encoder weights {IMAGENET} or {RANDOM}."
        )


def _other_weights(name, path, error):
    return DataError(
        f"{path}: expected weights of {name}, found others "
        f"({_first_line(error)}). Give another file, or encoder weights "
        f"{IMAGENET} or {RANDOM}."
    )


def _first_line(error):
    return str(error).strip().partition("\n")[0].rstrip(".")


def _application(name, image, depth, weights):
    colours = _colours_of(image)
    network = _network(name, colours, weights, colours is image)
    taps = []
    for level in range(1, depth + 1):
        wanted = tuple(side >> level for side in image.shape[1:3])
        maps = [
            layer.output
            for layer in network.layers
            # Maps with a border may be as large as those of the size above.
            if not isinstance(layer, layers.ZeroPadding2D)
            and layer.output.shape[1:3] == wanted
        ]
        taps.append(maps[-1] if maps else None)
    if taps[-1] is None:
        reached = [k for k, tap in enumerate(taps, 1) if tap is not None]
        _refuse_depth(name, depth, max(reached, default=0))
    if colours is image:
        return taps
    levels = [k for k, tap in enumerate(taps) if tap is not None]
    wide = widened(
        keras.Model(colours, [taps[k] for k in levels]),
        image,
        weights != RANDOM,
        _line_of(_find(name))[2],
    )
    for k, tap in zip(levels, wide, strict=True):
        taps[k] = tap
    return taps


def _network(name, image, weights, turns):
    """A network of ``keras.applications`` behind an image."""
    make = _find(name)
    if weights not in (RANDOM, IMAGENET):
        _check_file(name, Path(weights))
    try:
        return make(
            include_top=False,
            weights=None if weights == RANDOM else weights,
            input_tensor=_prepared(make, image, turns),
        )
    # Each of these networks has its own ways to refuse a size or a file.
    except Exception as error:
        if weights == RANDOM:
            raise DataError(
                f"{name}: {_first_line(error)}. Use another size or "
                "another encoder."
            ) from None
        if weights == IMAGENET:
            raise DataError(
                f"{name}: its ImageNet weights could not be downloaded "
                f"({_first_line(error)}). Connect to the internet once, or "
                "give a local file as encoder weights."
            ) from None
        raise _other_weights(name, weights, error) from None


def widened(network, image, learned=True, turned=False):
    """Put a network of red, green and blue behind an image of other bands.

    Its first convolution keeps its three bands for the first three of the
    image, and begins for each of the others with their mean. Of fewer bands
    each begins with an equal share of the sum: a grey image gives what it
    gives as red, green and blue. Lines by channel that stand before the
    convolution go on in the same way, with the mean.

    Args:
        network: a ``keras.Model`` of N x height x width x 3, with a list of
            outputs.
        image: tensor, N x height x width x bands.
        learned: take its weights; else the new ones are as random as its.
        turned: its convolution expects blue, green and red.

    Returns:
        List of tensors, its outputs.
    """
    bands = image.shape[-1]

    def layer_of(layer):
        if isinstance(layer, keras.Sequential):
            return keras.Sequential(map(layer_of, layer.layers), layer.name)
        config = layer.get_config()
        for key in ("scale", "offset", "mean", "variance"):
            line = np.ravel(config.get(key, 0))
            if line.size == COLOURS:
                config[key] = _for_bands(line, bands).tolist()
        return type(layer).from_config(config)

    wide = keras.models.clone_model(
        network,
        input_tensors=keras.Input(image.shape[1:]),
        clone_function=layer_of,
    )
    for layer in wide.layers if learned else ():
        new = layer.get_weights()
        weights = network.get_layer(layer.name).get_weights() if new else []
        for k, weight in enumerate(weights):
            if weight.shape != new[k].shape:
                weight = weight[:, :, ::-1] if turned else weight
                weights[k] = _for_bands(weight, bands)
        layer.set_weights(weights)
    # Its layers, and not a model, which would be a single one.
    return keras.Function(wide.inputs, wide.outputs).call([image])


def _for_bands(weight, bands):
    """Numbers of three channels for others: a kernel's, or a line's."""
    axis = 2 if weight.ndim == 4 else 0
    mean = weight.mean(axis=axis, keepdims=True)
    if bands < COLOURS:
        # A kernel adds up what comes from its channels.
        share = COLOURS / bands if weight.ndim == 4 else 1
        return np.repeat(mean * share, bands, axis=axis)
    others = np.repeat(mean, bands - COLOURS, axis=axis)
    return np.concatenate([weight, others], axis=axis)


def _refuse_depth(name, depth, most):
    raise DataError(
        f"depth {depth}: {name} halves an image up to {most} times. Use "
        f"depth {most}, or another encoder."
    )


def names():
    """The encoders of ``keras.applications``, in alphabetical order."""
    return sorted(
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value)
    )


def _find(name):
    """A function of ``keras.applications``; case does not matter."""
    for each in names():
        if each.lower() == name.lower():
            return getattr(keras.applications, each)
    raise DataError(
        f"encoder {name}: expected plain, residual, {LITE0} or a network of "
        f"keras.applications ({', '.join(names())}). Use one of these."
    )


def _prepared(make, image, turns):
    """The image as a network of ``keras.applications`` takes it.

    Args:
        make: the function.
        image: tensor, N x height x width x 3, RGB, 0 to 255.
        turns: exchange red and blue where the network wants that.
    """
    scale, offset, turned = _line_of(make)
    if turned and turns:
        image = ops.flip(image, axis=-1)
    elif turned:
        scale, offset = scale[::-1], offset[::-1]
    if (scale == 1).all() and not offset.any():
        return image
    return layers.Rescaling(scale.tolist(), offset.tolist())(image)


def _line_of(make):
    """What a network of ``keras.applications`` does to an image first.

    What ``preprocess_input`` does is a straight line for each channel, with
    red and blue exchanged or not: four colours tell all of it.

    Returns:
        (scale, offset, whether red and blue are exchanged): two arrays of
        three numbers, in the order behind the exchange.
    """
    prepare = sys.modules[make.__module__].preprocess_input
    black, *colours = [
        prepare(np.array(colour, np.float32)[None, None])[0, 0]
        for colour in ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))
    ]
    change = np.array([colour - black for colour in colours]) / 255
    turned = change[0, 0] == 0
    scale = np.diag(change[::-1] if turned else change)
    return scale, black, bool(turned)
