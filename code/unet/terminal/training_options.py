"""The options of a training, for every script that trains."""

import argparse
from dataclasses import fields
from pathlib import Path

from unet.files.errors import DataError
from unet.network.contract import (
    PLAIN_ENCODERS,
    TrainingSettings,
    read_contract,
)
from unet.terminal import cli
from unet.terminal.band_options import add_bands_to_learn
from unet.terminal.network_options import add_network, check_encoder
from unet.terminal.recipes import NETWORK, RECIPES, WORD_ORDER

_COUNT, _RATE = cli.number(int, 1), cli.number(float, 0, 1)


def add(parser):
    """Add the options that decide what a training's weights will be."""
    for title, add_to in (
        ("most people need", add_needed),
        ("data", add_data),
        ("network", add_network),
        ("training", add_training),
        ("tried, and of little help", add_tried),
    ):
        add_to(parser.add_argument_group(title).add_argument)


def add_needed(add):
    """The six that most people need."""
    add(
        "--size",
        type=_COUNT,
        default=128,
        help="side of the network's input in pixels, a multiple of 16; "
        "images of any size are resized to it",
    )
    add("--epochs", type=_COUNT, default=30, help="largest number of epochs")
    add(
        "--batch-size",
        type=_COUNT,
        default=4,
        help="number of images in a training step",
    )
    add(
        "--augment",
        choices=["none", "flips", "geometry", "colour", "all", "wide"],
        default="flips",
        help="show each image in another version every time: flips and "
        "quarter turns (flips); also other scales, shifts and rotations "
        "(geometry); other colours and light (colour); all of these (all); "
        "or stronger changes (wide)",
    )
    add(
        "--recipe",
        choices=RECIPES,
        help="set of options: the article's training as it was (article); "
        "what scored highest on real tiles (best), which begins with an "
        "encoder from ImageNet, at 256 pixels; or what did so from nothing "
        "(scratch), at 192 pixels; options given besides win",
    )
    add(
        "--start-from",
        type=Path,
        metavar="MODEL",
        help="start with the weights of this model; its network, size, "
        "normalisation and contrast come along",
    )


def add_data(add):
    """What is shown to the network."""
    add(
        "--validation",
        type=_RATE,
        default=0.1,
        help="share of the training folders that is set aside and decides "
        "when to stop",
    )
    add(
        "--images",
        type=_COUNT,
        metavar="N",
        help="learn from N images only, chosen by the seed; smaller subsets "
        "lie within larger ones",
    )
    add(
        "--group",
        metavar="RULE",
        help="rule for folders that must not be divided between training and "
        "validation: a regular expression on their names, or a CSV with the "
        "columns name and group; without it the groups of data/split.csv, if "
        "there are any; '(.+)' takes every image on its own",
    )
    add_bands_to_learn(add)
    add(
        "--contrast",
        choices=["none", "clahe", "stretch"],
        default="none",
        help="raise each image's contrast, in test.py as well: equalise the "
        "lightness in parts (clahe), or spread the 2nd to the 98th percentile "
        "(stretch, which was of little help)",
    )
    add(
        "--normalisation",
        choices=["centred", "article"],
        default="centred",
        help="scale of the input: pixels / 255, then the training set's mean "
        "and variance (centred), or pixels / 255 alone (article), which fails "
        "on real images",
    )


def add_training(add):
    """How the network learns."""
    add(
        "--learning-rate",
        type=_RATE,
        default=0.0004,
        help="learning rate of Adam, at its highest",
    )
    add(
        "--schedule",
        choices=["constant", "cosine", "plateau"],
        default="cosine",
        help="course of the learning rate: down to 0 after the last of "
        "--epochs (cosine), always the same (constant), or halved after two "
        "epochs without improvement (plateau, which was of little help)",
    )
    add(
        "--clip-norm",
        type=cli.number(float, 0),
        metavar="NORM",
        default=1.0,
        help="shorten longer gradients to this length, so that a few strange "
        "images cannot throw the network back; 0: never",
    )
    add(
        "--weights",
        choices=["mean", "last"],
        default="mean",
        help="weights that are validated and saved: their running mean over "
        "about 100 steps, or those of the last step",
    )
    add(
        "--loss",
        choices=["bce", "bce+dice", "focal", "tversky"],
        default="bce",
        help="error that is made small: binary cross-entropy (bce); that and "
        "the overlap in each batch (bce+dice); the overlap, in which missed "
        "pixels cost more (tversky); cross-entropy of the harder pixels "
        "(focal, which was of little help)",
    )
    add(
        "--mixed-precision",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compute in 16 bits: float16 on a GPU, bfloat16 on a processor "
        "with AVX512_BF16 or AMX; others compute in 32, which they are faster "
        "in; the saved model has 32",
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
        help="number that all random choices follow from; the same seed gives "
        "the same weights",
    )


def add_tried(add):
    """What changed scores less than another seed does, or cost some."""
    add(
        "--padding",
        choices=["same", "reflect"],
        default="same",
        help="surroundings of the 3 x 3 convolutions: zeros (same), or a "
        "mirror image (reflect)",
    )
    add(
        "--class-weights",
        type=_weight,
        nargs="+",
        metavar="WEIGHT",
        help="weight of a pixel in the cross-entropy or the focal loss: one "
        "number for the background and for each class, or 'balanced'",
    )
    add(
        "--weight-decay",
        type=_RATE,
        default=0.0,
        help="share of the kernels that is taken off in each step, times the "
        "learning rate",
    )
    add(
        "--warm-up",
        type=cli.number(int, 0),
        metavar="EPOCHS",
        default=0,
        help="epochs in which the learning rate rises",
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
    check_encoder(args, parser)
    return args


def _brought_along(path):
    """The network's options of a model to start from."""
    if path is None:
        return {}
    before = read_contract(path).training
    return {name: getattr(before, name) for name in NETWORK}


def settings_of(args):
    """What of the options a model file tells, as ``TrainingSettings``."""
    values = {f.name: getattr(args, f.name) for f in fields(TrainingSettings)}
    if args.encoder not in PLAIN_ENCODERS and not args.start_from:
        weights = Path(args.encoder_weights or "imagenet")
        values["encoder_weights"] = weights.name
    return TrainingSettings(**values)


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
    for name in sorted(vars(args), key=WORD_ORDER.index):
        value = getattr(args, name)
        if value == parser.get_default(name):
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            values = value if isinstance(value, list) else [value]
            words += [f"--{option}", *map(str, values)]
    return words
