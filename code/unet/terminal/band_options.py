"""The options that choose bands of images."""

import argparse

from unet.network.contract_rules import MOST_BANDS

_ALL = "all"


def add_bands_to_read(parser):
    """Add ``--bands`` of a script that copies or looks at images."""
    parser.add_argument(
        "--bands",
        type=_bands_or_all,
        metavar="N,N,...",
        help="bands to take of images with several, counted from 1, such as "
        "4,3,2,1, or all, a fourth one called alpha as well; the first three "
        "are red, green and blue of all pictures",
    )


def add_bands_to_predict(parser):
    """Add ``--bands`` of a script that shows images to a model."""
    parser.add_argument(
        "--bands",
        type=_bands,
        metavar="N,N,...",
        help="bands of these images, counted from 1, in the order of those "
        "that the model learned from; red, green and blue for a model of "
        "photos (default: the model's own numbers)",
    )


def add_bands_to_learn(add):
    """Add ``--bands`` of a training; its value is a text, see ``numbers``."""
    add(
        "--bands",
        type=_text,
        metavar="N,N,...",
        help="bands to learn from, counted from 1, such as 4,3,2,1, or all; "
        "at most 16. The first three are red, green and blue of all pictures, "
        "and for an encoder that has learned before (default: a photo's)",
    )


def numbers(text):
    """Numbers of a text of ``add_bands_to_learn``.

    Returns:
        ``numbers`` of ``unet.imagery.bands.Bands``.
    """
    return text if text in (None, _ALL) else _bands(text)


def _bands(text):
    """``3,2,1`` as a tuple of 1 to 16 numbers."""
    try:
        bands = tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        bands = ()
    if not 1 <= len(bands) <= MOST_BANDS or min(bands) < 1:
        raise argparse.ArgumentTypeError(
            f"expected 1 to {MOST_BANDS} numbers from 1 on, such as 3,2,1, "
            f"found {text}"
        )
    return bands


def _bands_or_all(text):
    return text if text == _ALL else _bands(text)


def _text(text):
    """The same text, in one form."""
    bands = _bands_or_all(text)
    return text if text == _ALL else ",".join(map(str, bands))
