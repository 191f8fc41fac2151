"""The options that say what a network is."""

import argparse

from unet.network.contract import PLAIN_ENCODERS
from unet.terminal.cli import number

_COUNT = number(int, 1)


def add_network(add):
    """What the network is."""
    add(
        "--filters",
        type=_COUNT,
        default=16,
        help="convolutions of the first level; they double on each level",
    )
    add(
        "--depth",
        type=number(int, 1, 7),
        default=4,
        help="number of times that the image is halved",
    )
    add(
        "--dropout",
        type=number(float, 0, 0.95),
        nargs="+",
        metavar="RATE",
        default=[0.1, 0.1, 0.2, 0.2, 0.3],
        help="rate of each level, from the top",
    )
    add(
        "--dropout-kind",
        choices=["standard", "spatial", "fading", "none"],
        default="fading",
        help="values that are dropped: single ones, at rates that fall in a "
        "line to 0 in the last of --epochs (fading) or stay (standard); whole "
        "maps (spatial); or none",
    )
    add(
        "--activation",
        choices=["elu", "relu", "selu", "gelu", "swish"],
        default="elu",
        help="function after every convolution but the last",
    )
    add(
        "--batch-norm",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="normalise the batch after each activation",
    )
    add_encoder(add)
    add(
        "--objects",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="second output: the seams between objects that touch, and their "
        "borders; needs a mask file for each object",
    )


def add_encoder(add):
    """Which way down the network has, and what it knows before."""
    add(
        "--encoder",
        metavar="NAME",
        default="plain",
        help="way down: blocks as on the way up (plain), or blocks that add "
        "their input to their output (residual); or one that has learned from "
        "ImageNet: efficientnet-lite0, whose weights are here, or a network of "
        "keras.applications, such as EfficientNetV2B0",
    )
    add(
        "--encoder-weights",
        metavar="WEIGHTS",
        help="what such an encoder begins with: imagenet (the default), "
        "random, or a file of its weights",
    )
    add(
        "--freeze",
        choices=["encoder"],
        help="leave the way down as it is: of the model of --start-from, or "
        "an encoder that has learned before",
    )


def check_encoder(args, parser):
    """Refuse what does not fit the encoder; a model to start from has one."""
    learned = args.encoder not in PLAIN_ENCODERS
    if args.encoder_weights and (args.start_from or not learned):
        parser.error(
            "argument --encoder-weights: goes with "
            "an --encoder that has learned, not with --start-from"
        )
    if learned and not args.start_from:
        from unet.network.encoders import check  # imports Keras, which is slow

        check(args.encoder)
    fresh = not learned or args.encoder_weights == "random"
    if args.freeze and fresh and not args.start_from:
        parser.error("argument --freeze: needs --start-from or learned weights")
