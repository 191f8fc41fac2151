"""The archive of a model, looked through before Keras opens it.

Keras trusts what it reads: inverted bytes can end the process, a few
compressed ones can fill the memory, and some layers read files of their own.
"""

import io
import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from unet.files.errors import DataError

MEMBER = "contract.json"  # what a model says of itself
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_METADATA = "metadata.json"
_MOST_BYTES_OF_TEXT = 2**24
# Weights are hardly compressible: more is no network's.
_MOST_COMPRESSION = 8
_MOST_SIDE = 2**14
_ONE_READ = 2**20
# Pixels: what a layer looks at, how far it goes on, and how much it enlarges.
_STEPS = ("kernel_size", "strides", "pool_size", "dilation_rate", "size")
_MOST_STEP = 64
_DAMAGE = (
    *(OSError, RuntimeError, ValueError, LookupError, TypeError, EOFError),
    *(AttributeError, OverflowError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)
# These run what the file holds, or read files and addresses that it names.
_REACHING = (
    *("Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper"),
    *("StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization"),
)
_MODULES = ("keras", "builtins")


class ForeignError(Exception):
    """The file is none that our training has made; says what it is."""


@dataclass(frozen=True)
class Network:
    """What Keras' description of a network says of it.

    Attributes:
        size: [height, width] of its input.
        bands: channels of its input.
        channels: of its first output.
        halvings: how often it halves an image.
    """

    size: list[int]
    bands: int
    channels: int
    halvings: int


def contract_in(path):
    """What a model file says of itself, not checked: a dict with a format.

    Raises:
        ForeignError: it is no archive, or has no contract.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            values = json.loads(_member(archive, MEMBER))
        values["format"]
    except _DAMAGE:
        raise ForeignError("another kind of file") from None
    return values


def network_in(path):
    """What the network of a model file is, once all of it is looked through.

    Returns:
        ``Network``.

    Raises:
        DataError: it is damaged, would unpack to more than it can hold, its
            network reaches beyond the file, or its weights are not finite.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, Path(path).stat().st_size)
            most = _check_weights(archive.read(_WEIGHTS))
            config = json.loads(_member(archive, _CONFIG))
        _check_layers(config, most)
        return _network(config["config"])
    except _DAMAGE as error:
        raise DataError(
            f"{path}: the model is damaged ({_reason(error)}). Copy it again, "
            "or train a new one."
        ) from None


def saved_on(path):
    """The day on which Keras saved a model file, ``YYYY-MM-DD``."""
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(_member(archive, _METADATA))
        return re.match(r"\d{4}-\d\d-\d\d", metadata["date_saved"])[0]
    except _DAMAGE:
        return "nobody knows when"


def _reason(error):
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def _member(archive, name):
    """A member that holds text: its bytes."""
    if archive.getinfo(name).file_size > _MOST_BYTES_OF_TEXT:
        raise ValueError(f"{name} is larger than {_MOST_BYTES_OF_TEXT} bytes")
    return archive.read(name)


def _check_members(archive, size):
    """Sizes first, as the archive declares them, and then all sums."""
    members = archive.infolist()
    declared = sum(member.file_size for member in members)
    most = max(_MOST_COMPRESSION * size, _MOST_BYTES_OF_TEXT)
    if declared > most:
        raise ValueError(f"{size} bytes would unpack to {declared}")
    for member in members:
        with archive.open(member) as file:
            while file.read(_ONE_READ):
                pass


def _check_weights(data):
    """Raise ValueError for weights that are no numbers of this very file.

    Returns:
        The longest side of any array.
    """
    import h5py  # slow to import, as is NumPy
    import numpy as np

    sides, declared = [0], 0
    with h5py.File(io.BytesIO(data)) as file:
        for array in _arrays(file):
            sides += array.shape
            declared += array.nbytes
            if array.external or array.is_virtual:
                raise ValueError("its weights lie in another file")
            if declared > len(data):
                raise ValueError("it has more weights than it has bytes")
            if array.dtype.kind == "f" and not np.isfinite(array[()]).all():
                raise ValueError("its weights are not finite")
    return max(sides)


def _arrays(group):
    """The arrays of a group and of those below it."""
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError("its weights link to others")
        if isinstance(group[name], h5py.Group):
            yield from _arrays(group[name])
        else:
            yield group[name]


def _check_layers(part, most):
    """Raise ValueError for layers that are no part of a network of ours.

    Args:
        part: of Keras' description, anything that JSON can hold.
        most: no layer has more channels than its weights have numbers in a
            row.
    """
    if isinstance(part, list):
        for each in part:
            _check_layers(each, most)
    if not isinstance(part, dict):
        return
    name, module = part.get("class_name"), part.get("module") or "keras"
    if "config" in part and (
        name in _REACHING or str(module).split(".")[0] not in _MODULES
    ):
        raise ValueError(f"a layer {str(name)[:50]} of {str(module)[:50]}")
    for key in ("filters", "units", "depth_multiplier"):
        if isinstance(part.get(key), int) and part[key] > max(most, 1):
            raise ValueError(f"a layer of {part[key]} {key}, without weights")
    for key in _STEPS:
        sides = part.get(key)
        sides = sides if isinstance(sides, list) else [sides]
        for side in sides:
            if type(side) is int and not 0 < side <= _MOST_STEP:
                raise ValueError(f"a layer with {key} of {side}")
    for each in part.values():
        _check_layers(each, most)


def _network(config):
    """What a description of layers says: a ``Network``."""
    layers = {each["config"]["name"]: each for each in config["layers"]}
    kinds = [each["class_name"] for each in config["layers"]]
    (image,) = [e for e in layers.values() if e["class_name"] == "InputLayer"]
    *size, bands = image["config"]["batch_shape"][1:]
    if not all(
        type(side) is int and 0 < side <= _MOST_SIDE for side in (*size, bands)
    ):
        raise ValueError(f"an input of {str([*size, bands])[:50]}")
    outputs = config["output_layers"]
    first = outputs[0] if isinstance(outputs[0], list) else outputs
    channels = layers[first[0]]["config"]["filters"]
    return Network(size, bands, channels, kinds.count("Conv2DTranspose"))
