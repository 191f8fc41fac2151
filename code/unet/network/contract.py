"""What a model file says of itself: data beside the weights.

A ``.keras`` file is a zip archive; the contract is one more member of it,
which Keras ignores. Reading it needs no Keras and takes no time.
"""

import json
import zipfile
from pathlib import Path

from unet.files.errors import DataError

FORMAT = 1
_MEMBER = "contract.json"


def append_contract(path, contract):
    """Add a contract to a model file.

    Args:
        path: a ``.keras`` file without one.
        contract: dict that JSON can hold.
    """
    with zipfile.ZipFile(path, "a") as archive:
        text = json.dumps({"format": FORMAT, **contract}, indent=2)
        archive.writestr(_MEMBER, text)


def check_start(path, classes):
    """Raise DataError if a training on these classes cannot start there.

    Args:
        path: a model's, or None.
        classes: foreground class names of the training.
    """
    had = classes if path is None else read_contract(path)["classes"]
    if had != classes:
        raise DataError(
            f"{path}: this model was made for {', '.join(had)}, the training "
            f"data have {', '.join(classes)}. Rename the folders of masks, or "
            "train without --start-from."
        )


def read_contract(path):
    """Read what a model file says of itself, without loading the model.

    Raises:
        DataError: the file is no model of ours.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(
            f"{path}: expected a model, found nothing. Train one with "
            "code/train/train_unet.py, or give another --model."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            contract = json.loads(archive.read(_MEMBER))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        raise DataError(
            f"{path}: expected a .keras model made by code/train/"
            "train_unet.py, found another kind of file. Give the model that "
            "training saved."
        ) from None
    if contract["format"] != FORMAT:
        raise DataError(
            f"{path}: expected format {FORMAT}, found {contract['format']}. "
            "Use the version of this project that made the model, or train "
            "it again."
        )
    return contract
