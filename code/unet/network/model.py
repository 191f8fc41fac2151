"""The article's U-Net, and the file that a trained one lives in.

Ronneberger et al. 2015 (arXiv:1505.04597) in the size of the article
"Semantic segmentation with U-Net: train, and test on your custom data in
Keras" (2019): 23 convolutional layers, 1,941,105 weights at 128 x 128 x 3.
"""

from dataclasses import dataclass

from unet.files.atomic import replacing
from unet.files.errors import DataError
from unet.network import encoders, own_layers
from unet.network.backend import half_precision, keras
from unet.network.contract import (
    PLAIN_ENCODERS,
    append_contract,
    read_contract,
)
from unet.network.sizes import check_mirror, check_size

layers, ops = keras.layers, keras.ops
DROPOUT = (0.1, 0.1, 0.2, 0.2, 0.3)
# The outputs of a network that has two, and the channels of the second.
MASK, SEAMS, SEAM_CHANNELS = "mask", "seams", 2
# Convolutions of the block that the second has to itself.
_SEAM_FILTERS = 16
# Layers that bring values of 16 bits to 0 .. 255. Numbers of 16 bits cannot
# hold what they take.
STRETCH, CUT = "stretch", "cut"
# What processors compute faster in 32 bits than in bfloat16, in networks with
# depthwise convolutions.
_SLOW_IN_BFLOAT16 = {
    "Activation",
    "BatchNormalization",
    "DepthwiseConv2D",
    "FusedBatchNormalization",
    "ReLU",
}


def build_unet(
    size=(128, 128),
    classes=("building",),
    *,
    filters=16,
    depth=4,
    dropout=DROPOUT,
    dropout_kind="standard",
    activation="elu",
    batch_norm=False,
    encoder="plain",
    encoder_weights=None,
    padding="same",
    mean=None,
    variance=None,
    objects=False,
    bands=3,
    limits=None,
):
    """Build the network.

    Args:
        size: (height, width) of its input, multiples of ``2**depth``.
        classes: foreground class names. One class gives one sigmoid output,
            several give a softmax over the background and all of them.
        filters: convolutions of the first level; they double on each level
            further down, or grow by twice as many beside another's encoder.
        depth: how often the image is halved.
        dropout: rate of each level from the top; the last one is repeated
            where there are more levels than rates.
        dropout_kind: ``"standard"`` silences single values, ``"spatial"``
            whole maps (Tompson et al. 2015), ``"none"`` nothing; ``"fading"``
            is standard here, ``unet.training.callbacks.Fading`` lowers the
            rates.
        activation: of every convolution but the last.
        batch_norm: batch normalisation after each activation.
        encoder: ``"plain"``; ``"residual"``: each block of the way down adds
            its input to its output; or the name of another's encoder, see
            ``unet.network.encoders``, beside which the largest level has a
            block of its own.
        encoder_weights: of another's encoder, see ``encoders.encode``; None:
            those of ImageNet.
        padding: ``"same"``: zeros around the maps of the 3 x 3 convolutions;
            ``"reflect"``: their own mirror image.
        mean, variance: per channel, of images divided by 255; they centre
            the input. None: the article's plain division.
        objects: give it a second output behind a block of its own, the seams
            and borders of objects, see ``unet.geometry.seams``.
        bands: channels of its input, the first three of them red, green and
            blue where an encoder has learned from photos.
        limits: (low, high) of each band: values that its first layers bring
            to 0 and to 255, cutting what is beyond. None: the input is from 0
            to 255.

    Returns:
        An uncompiled ``keras.Model`` from images, N x height x width x bands
        with values from 0 to 255, or with ``limits`` of 16 bits, to
        probabilities, N x height x width x 1 (several classes: x their number
        + 1, the background first); with ``objects`` to a list of these and N
        x height x width x 2.

    Raises:
        DataError: a side cannot be halved ``depth`` times, or is too short
            to be mirrored after that; see ``encoders.encode``.
    """
    check_size(size, depth)
    if padding == "reflect":
        check_mirror(size, depth)
    own = encoder in PLAIN_ENCODERS
    widths = [
        filters * (2**level if own else max(1, 2 * level))
        for level in range(depth + 1)
    ]
    rates = [dropout[min(i, len(dropout) - 1)] for i in range(depth + 1)]
    if dropout_kind == "none":
        rates = [0] * (depth + 1)
    spatial = dropout_kind == "spatial"
    drop = layers.SpatialDropout2D if spatial else layers.Dropout
    block = _Block(drop, activation, batch_norm, padding)

    image = keras.Input((*size, bands), name="image")
    seen = image if limits is None else _stretched(image, limits)
    x = layers.Rescaling(1 / 255)(seen)
    if mean is not None:
        x = layers.Normalization(mean=list(mean), variance=list(variance))(x)

    if own:
        *skips, x = _way_down(x, block, widths, rates, encoder == "residual")
    else:
        first = block(x, widths[0], rates[0])
        *skips, x = encoders.encode(
            encoder, seen, depth, encoder_weights or encoders.IMAGENET
        )
        skips = [first, *skips]
        x = block(x, widths[-1], rates[-1])

    x = _way_up(x, block, widths[:-1], rates, skips)
    drawn = block(x, _SEAM_FILTERS, 0) if objects else None
    return keras.Model(image, _outputs(x, len(classes), drawn), name="unet")


def _outputs(x, classes, drawn=None):
    """The probabilities, and seams and borders of ``drawn`` beside."""
    channels, function = classes + 1, "softmax"
    if classes == 1:
        channels, function = 1, "sigmoid"
    name = None if drawn is None else MASK
    output = layers.Conv2D(channels, 1, activation=function, name=name)(x)
    if drawn is None:
        return output
    seams = layers.Conv2D(SEAM_CHANNELS, 1, activation="sigmoid", name=SEAMS)
    return [output, seams(drawn)]


def _stretched(image, limits):
    """Values between limits as numbers from 0 to 255."""
    lines = [(255 / (high - low), low) for low, high in limits]
    scales = [scale for scale, _ in lines]
    offsets = [-scale * low for scale, low in lines]
    x = layers.Rescaling(scales, offsets, name=STRETCH)(image)
    return layers.ReLU(255, name=CUT)(x)


def _way_down(x, block, widths, rates, residual):
    """What is handed across on each level, and what arrives at the bottom."""
    outputs = []
    for width, rate in zip(widths, rates, strict=True):
        x = layers.MaxPooling2D(2)(x) if outputs else x
        x = block(x, width, rate, residual)
        outputs.append(x)
    return outputs


def _way_up(x, block, widths, rates, skips):
    """What arrives at the top; a level of an encoder may hand on nothing."""
    for level, width in reversed(list(enumerate(widths))):
        x = layers.Conv2DTranspose(width, 2, strides=2, padding="same")(x)
        if skips[level] is not None:
            x = layers.Concatenate(name=f"skip_{level + 1}")([x, skips[level]])
        x = block(x, width, rates[level])
    return x


@dataclass(frozen=True)
class _Block:
    """Two convolutions with dropout between them.

    Attributes:
        drop: class of the dropout layer.
        activation, batch_norm, padding: see ``build_unet``.
    """

    drop: type
    activation: str
    batch_norm: bool
    padding: str

    def __call__(self, x, width, rate, residual=False):
        """Put a block behind a tensor; all blocks make layers in this order.

        Args:
            x: tensor, N x height x width x channels.
            width: convolutions of each of the two layers.
            rate: of the dropout.
            residual: add x, brought to this width, to the result.

        Returns:
            Tensor, N x height x width x ``width``.
        """
        first = x
        x = self._convolution(x, width)
        x = self.drop(rate)(x)
        x = self._convolution(x, width)
        if residual:
            x = layers.Add()([x, layers.Conv2D(width, 1)(first)])
        return x

    def _convolution(self, x, width):
        mirror = self.padding == "reflect"
        if mirror:
            around = ((0, 0), (1, 1), (1, 1), (0, 0))
            x = ops.pad(x, around, mode="reflect")
        x = layers.Conv2D(
            width,
            3,
            padding="valid" if mirror else "same",
            activation=self.activation,
            kernel_initializer="he_normal",
        )(x)
        if not self.batch_norm:
            return x
        # Keras' own momentum of 0.99 needs more steps than small data give;
        # with 0.9 and small batches the statistics jump, and scores with them.
        return layers.BatchNormalization(momentum=0.98)(x)


def convolutions(model):
    """Number of convolutional layers, of all kinds."""
    types = (layers.Conv2D, layers.Conv2DTranspose, layers.DepthwiseConv2D)
    return sum(isinstance(layer, types) for layer in model.layers)


def freeze_encoder(model):
    """Keep the weights of the way down in training.

    The encoder of ``unet.network.encoders``, if the model has one; else all
    layers before the first transposed convolution, the bottom included.
    """
    if encoders.has_encoder(model):
        encoders.freeze(model)
        return
    for layer in model.layers:
        if isinstance(layer, layers.Conv2DTranspose):
            break
        layer.trainable = False


def for_training(model, fading=False, mixed_precision=False):
    """The same network with what only a training needs.

    Args:
        model: of ``build_unet``.
        fading: put ``FadingDropout`` in the place of dropout.
        mixed_precision: compute in 16 bits, but for the weights, for the
            last layer, whose probabilities need 32, and for layers that a
            processor computes faster in 32.

    Returns:
        An uncompiled ``keras.Model``: another one if anything changes.
    """
    config = own_layers.description(model, fading, fused=True)
    if mixed_precision:
        _set_types(config, model, f"mixed_{half_precision()}")
    if config == own_layers.description(model):
        return model
    return own_layers.made(config, model)


def _set_types(config, model, policy):
    """Let layers compute in other numbers, but the last and the first."""
    every = config["config"]["layers"]
    exact = {*model.output_names, STRETCH, CUT}
    kept = {"InputLayer"}
    depthwise = any(each["class_name"] == "DepthwiseConv2D" for each in every)
    if policy == "mixed_bfloat16" and depthwise:
        kept |= _SLOW_IN_BFLOAT16
    for layer in every:
        if layer["config"]["name"] in exact or layer["class_name"] in kept:
            continue
        if "dtype" in layer["config"]:
            layer["config"]["dtype"] = policy


def any_size(model):
    """The same network and weights, for images of any size.

    Args:
        model: of ``build_unet`` or ``load``.

    Returns:
        An uncompiled ``keras.Model`` whose input may have any sides that can
        be halved as often as the network halves them.
    """
    config = own_layers.description(model, fused=True)
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "InputLayer":
            bands = model.input_shape[-1]
            layer["config"]["batch_shape"] = [None, None, None, bands]
    return own_layers.made(config, model)


def joined(model):
    """The same network with one output, its outputs along the channels.

    Args:
        model: of ``build_unet`` or ``load``.

    Returns:
        The model itself if it has one output.
    """
    if len(model.outputs) == 1:
        return model
    return keras.Model(model.inputs, layers.Concatenate()(model.outputs))


def save(model, path, contract):
    """Save a model with its contract and without its optimizer.

    The file opens with plain ``keras.models.load_model``; the contract is
    one more member of the archive, ``contract.json``, which Keras ignores.

    Args:
        model: a ``keras.Model``.
        path: must end in ``.keras``; replaced in one step.
        contract: what the model needs and is, a
            ``unet.network.contract.Contract``.
    """
    bare = keras.Model(model.inputs, model.outputs, name=model.name)
    half = any(la.compute_dtype == half_precision() for la in model.layers)
    if half or own_layers.has_own(model):
        config = own_layers.description(bare)
        _set_types(config, bare, "float32")
        bare = own_layers.made(config, bare)
    with replacing(path) as temporary:
        bare.save(temporary)
        append_contract(temporary, contract)


def load(path):
    """Load a model that ``save`` made.

    Returns:
        An uncompiled ``keras.Model``.

    Raises:
        DataError: the file is damaged or no model of ours.
    """
    read_contract(path)
    try:
        model = keras.models.load_model(path, compile=False)
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
    ) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{path}: the model is damaged ({reason}). Copy it again, or "
            "train a new one."
        ) from None
    for layer in model.layers:
        layer.trainable = True  # whatever was frozen when it was trained
    return model
