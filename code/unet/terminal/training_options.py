"""The options of a training, for every script that trains."""

import argparse
from dataclasses import asdict, fields
from pathlib import Path

from unet.files.errors import DataError
from unet.imagery.contrast import CONTRASTS
from unet.network.contract import TrainingSettings, read_contract
from unet.terminal import cli
from unet.training.augmentation import LEVELS

# The article's training, whatever the defaults are.
ARTICLE = {
    name: value
    for name, value in asdict(TrainingSettings()).items()
    if name not in ("images", "freeze", "seed", "recipe")
}
# Each image is its own group: validation at random.
ARTICLE["group"] = "(.+)"
# What scored highest on the real tiles; the rest is as by default.
BEST = {
    "size": 192,
    "augment": "geometry",
    "dropout_kind": "none",
    "activation": "swish",
    "batch_norm": True,
    "encoder": "residual",
    "loss": "bce+dice",
    "learning_rate": 0.001,
    "patience": 30,
}
RECIPES = {"article": ARTICLE, "best": BEST}
# What belongs to the network: a model to start from brings it along.
NETWORK = (
    "size",
    "contrast",
    "normalisation",
    "filters",
    "depth",
    "dropout",
    "dropout_kind",
    "activation",
    "batch_norm",
    "encoder",
    "padding",
)
_COUNT, _RATE = cli.number(int, 1), cli.number(float, 0, 1)


def add(parser):
    """Add the options that decide what a training's weights will be."""
    add_data(parser.add_argument_group("data"))
    add_network(parser.add_argument_group("network"))
    add_training(parser.add_argument_group("training"))


def add_data(group):
    """What is shown to the network."""
    add = group.add_argument
    add(
        "--size",
        type=_COUNT,
        default=128,
        help="side of the network's input in pixels, a multiple of 16; "
        "images of any size are resized to it",
    )
    add(
        "--validation",
        type=_RATE,
        default=0.1,
        help="share of the training folders that decides when to stop",
    )
    add(
        "--images",
        type=_COUNT,
        metavar="N",
        help="learn from so many images only, chosen by the seed; fewer are "
        "among more",
    )
    add(
        "--group",
        metavar="RULE",
        help="what must not be divided between training and validation: a "
        "regular expression on folder names, or a CSV with the columns name "
        "and group; without it the groups of data/split.csv, if there are "
        "any; '(.+)' is every image on its own",
    )
    add(
        "--contrast",
        choices=CONTRASTS,
        default="none",
        help="clahe: equalise the lightness in parts; stretch: from the "
        "image's 2nd to its 98th percentile; test.py does the same",
    )
    add(
        "--augment",
        choices=LEVELS,
        default="flips",
        help="show each image in another version every time: flips and "
        "quarter turns, geometry (and scale, shift, rotation), colour, all "
        "of these, or wide, which is stronger",
    )
    add(
        "--normalisation",
        choices=["centred", "article"],
        default="centred",
        help="centred: pixels / 255, then the training set's mean and "
        "variance; article: pixels / 255 alone, which fails on real images",
    )


def add_network(group):
    """What the network is."""
    add = group.add_argument
    add(
        "--filters",
        type=_COUNT,
        default=16,
        help="convolutions of the first level; they double on each level",
    )
    add(
        "--depth",
        type=cli.number(int, 1, 7),
        default=4,
        help="how often the image is halved",
    )
    add(
        "--dropout",
        type=cli.number(float, 0, 0.95),
        nargs="+",
        metavar="RATE",
        default=[0.1, 0.1, 0.2, 0.2, 0.3],
        help="rate of each level",
    )
    add(
        "--dropout-kind",
        choices=["standard", "spatial", "fading", "none"],
        default="fading",
        help="fading: the rates fall in a line, to 0 in the last of "
        "--epochs; standard: they stay; spatial silences whole maps instead "
        "of single values",
    )
    add(
        "--activation",
        choices=["elu", "relu", "selu", "gelu", "swish"],
        default="elu",
        help="of every convolution but the last",
    )
    add(
        "--batch-norm",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="batch normalisation after each activation",
    )
    add(
        "--encoder",
        choices=["plain", "residual"],
        default="plain",
        help="residual adds each block's input to its output",
    )
    add(
        "--padding",
        choices=["same", "reflect"],
        default="same",
        help="around the 3 x 3 convolutions: zeros, or a mirror image",
    )
    add(
        "--start-from",
        type=Path,
        metavar="MODEL",
        help="go on with the weights of this model; its network, size, "
        "normalisation and contrast come along",
    )
    add(
        "--freeze",
        choices=["encoder"],
        help="with --start-from: leave the way down as it is",
    )


def add_training(group):
    """How the network learns."""
    add = group.add_argument
    add("--epochs", type=_COUNT, default=30, help="most epochs to train")
    add("--batch-size", type=_COUNT, default=4, help="images a step")
    add("--learning-rate", type=_RATE, default=0.0004, help="of Adam")
    add(
        "--schedule",
        choices=["constant", "cosine", "plateau"],
        default="cosine",
        help="of the learning rate; cosine: towards 0 after the last of "
        "--epochs; plateau: halved after two epochs without improvement",
    )
    add(
        "--warm-up",
        type=cli.number(int, 0),
        metavar="EPOCHS",
        default=0,
        help="in which the learning rate rises",
    )
    add(
        "--clip-norm",
        type=cli.number(float, 0),
        metavar="NORM",
        default=1.0,
        help="gradients longer than this are shortened to it, so that a few "
        "strange images cannot throw the network back; 0: never",
    )
    add(
        "--weight-decay",
        type=_RATE,
        default=0.0,
        help="share of the kernels that is taken off in each step, times the "
        "learning rate",
    )
    add(
        "--weights",
        choices=["mean", "last"],
        default="mean",
        help="what is validated and saved: the running mean over about 100 "
        "steps, or the weights of the last step",
    )
    add(
        "--loss",
        choices=["bce", "bce+dice", "focal", "tversky"],
        default="bce",
        help="bce: binary cross-entropy; Dice and Tversky count the overlap "
        "in each batch",
    )
    add(
        "--class-weights",
        type=_weight,
        nargs="+",
        metavar="WEIGHT",
        help="what a pixel counts in the cross-entropy or the focal loss: "
        "one number for the background and for each class, or 'balanced'",
    )
    add(
        "--mixed-precision",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compute in 16 bits: float16 on a GPU, bfloat16 on a processor, "
        "where it is faster with AVX512_BF16 or AMX and slower without; the "
        "saved model has 32",
    )
    add(
        "--patience",
        type=_COUNT,
        default=10,
        help="epochs without improvement before training stops",
    )
    add(
        "--seed",
        type=cli.number(int, 0),
        default=0,
        help="of all random choices; the same seed gives the same weights",
    )
    add(
        "--recipe",
        choices=RECIPES,
        help="article: the article's training as it was; best: what scored "
        "highest on real tiles with nearly as many weights, seen at 192 "
        "pixels, in three times the time; other options change either",
    )


def _weight(text):
    return text if text == "balanced" else cli.number(float, 0)(text)


_weight.__name__ = "weight"  # named in argparse's own error


def read(parser, words=None):
    """Parse the options; a recipe and a model to start from set defaults.

    Args:
        parser: with the options of ``add``.
        words: of the command line; None: this process'.

    Raises:
        DataError: the model to start from is none, or has another network
            than the options ask for.
    """
    args = parser.parse_args(words)
    if args.freeze and not args.start_from:
        parser.error("argument --freeze: needs --start-from")
    if args.recipe:
        parser.set_defaults(**RECIPES[args.recipe])
    brought = _brought_along(args.start_from)
    parser.set_defaults(**brought)
    args = parser.parse_args(words)
    for name, value in brought.items():
        if getattr(args, name) != value:
            raise DataError(
                f"{args.start_from}: this model has {name.replace('_', ' ')} "
                f"{_text(value)}, asked for was {_text(getattr(args, name))}. "
                f"Leave --{name.replace('_', '-')} out, or train without "
                "--start-from."
            )
    return args


def _brought_along(path):
    """The network's options of a model to start from."""
    if path is None:
        return {}
    before = read_contract(path).training
    return {name: getattr(before, name) for name in NETWORK}


def settings_of(args):
    """What of the options a model file tells, as ``TrainingSettings``."""
    names = [each.name for each in fields(TrainingSettings)]
    return TrainingSettings(**{name: getattr(args, name) for name in names})


def check_start(path, classes):
    """Raise DataError if a training on these classes cannot start there.

    Args:
        path: a model's, or None.
        classes: foreground class names of the training.
    """
    if path is None:
        return
    known = read_contract(path).classes
    if known != classes:
        raise DataError(
            f"{path}: this model was made for {', '.join(known)}, the "
            f"training data have {', '.join(classes)}. Rename the folders of "
            "masks, or train without --start-from."
        )


def _text(value):
    return " ".join(map(str, value)) if isinstance(value, list) else value


def words_of(args, parser):
    """The words of a command line that give what differs from the defaults.

    Args:
        args: parsed by ``parser``.
        parser: with the options of ``add``.
    """
    words = []
    for name, value in vars(args).items():
        if value == parser.get_default(name):
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            values = value if isinstance(value, list) else [value]
            words += [f"--{option}", *map(str, values)]
    return words
