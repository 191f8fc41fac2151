"""What a model file says of itself: data beside the weights.

A ``.keras`` file is a zip archive; the contract is one more member of it,
which Keras ignores. Reading it needs no Keras and takes no time. Whatever is
not named in the classes of this module is not written into a model file: a
new option of training is published by a line in ``TrainingSettings``.
"""

import json
import zipfile
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path

from unet.files.errors import DataError
from unet.files.names import same
from unet.network import contract_rules
from unet.network.archive import MEMBER, ForeignError, contract_in, network_in

FORMAT = 1
# Ways down that are built here; others have learned before.
PLAIN_ENCODERS = ("plain", "residual")


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input.

    Attributes:
        resize: in words, how it gets its size.
        contrast: how it is enhanced, see ``unet.imagery.contrast``.
        input: in words, the values that the network takes.
        mean, variance: a float for each band, of the training images (from 0
            to 255) divided by 255: what the network's first layers centre by;
            None: they do not.
        bands: what the network sees, in its order: a list of ``{"number": of
            the band in a file, from 1, "description": what the files call it,
            or None}``; None: red, green and blue.
        limits: [low, high] of each band, where images have 16 bits: the
            values that the network's first layers bring to 0 and to 255,
            cutting what is beyond. They are the 2nd and the 98th percentile of
            the training images. The network takes values as files hold them.
            None: images have 8 bits.
    """

    resize: str = "the whole image, by area where it shrinks"
    contrast: str = "none"
    input: str = "RGB, 0 to 255, scaled inside the network"
    mean: list[float] | None = None
    variance: list[float] | None = None
    bands: list[dict] | None = None
    limits: list[list[float]] | None = None


@dataclass(frozen=True)
class TrainingSettings:
    """The options of a training that decide what its weights will be.

    The values here are those of the article: a file that was written before
    there was an option has none of it, and that is how it was trained. They
    are called like the options of train_unet.py, whose help explains them.
    Where files lay on the machine is nobody's business.
    """

    size: int = 128
    validation: float = 0.1
    images: int | None = None
    bands: str | None = None
    contrast: str = "none"
    augment: str = "none"
    normalisation: str = "article"
    filters: int = 16
    depth: int = 4
    dropout: list[float] = field(
        default_factory=lambda: [0.1, 0.1, 0.2, 0.2, 0.3]
    )
    dropout_kind: str = "standard"
    activation: str = "elu"
    batch_norm: bool = False
    encoder: str = "plain"
    encoder_weights: str | None = None
    padding: str = "same"
    objects: bool = False
    freeze: str | None = None
    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 0.001
    schedule: str = "constant"
    warm_up: int = 0
    clip_norm: float = 0.0
    weight_decay: float = 0.0
    weights: str = "last"
    loss: str = "bce"
    class_weights: list[float | str] | None = None
    mixed_precision: bool = False
    patience: int = 5
    seed: int = 0
    recipe: str | None = None


@dataclass(frozen=True)
class Contract:
    """What a model needs and is.

    Attributes:
        classes: foreground class names; class k has the id k + 1.
        size: [height, width] of the input, pixels.
        preprocessing: a ``Preprocessing``.
        scale: median side of a training image in the input over its side in
            the original; None: not known.
        scales: the same of rows and of columns, two floats, or None.
        resolution: metres a pixel of the input's rows and columns, two
            floats; None: the training images had no place on the ground.
        threshold: probability from which on a pixel is an object.
        best_threshold: the one with the highest validation IoU; None:
            several classes need none, or the training was interrupted.
        separation: dict from a class of countable things to the height at
            which its objects come apart where they touch, in pixels of the
            input, see ``unet.geometry.separation``. A class that is a
            surface (a road, water) is not in it, nor is any in older files.
        training: ``TrainingSettings``.
        data: ``{"images": number, "digest": text}`` of the training data.
        started_from: ``data``, ``training`` and ``started_from`` of the
            model that the training began with, or None.
        versions: of the packages, by name.
        scores: of the test images, a ``unet.scoring.scores`` summary, or
            None.
        scores_at_best_threshold: likewise.
        notes: what its makers say: ``title``, ``trained_on`` (texts),
            ``limits``, ``attribution`` (lists of texts).
        evaluations: scores at other places and scales, a list of
            ``{"where": text, "images": number, "scale": float, "scores":
            summary}``.
    """

    classes: list[str]
    size: list[int] | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    scale: float | None = None
    scales: list[float] | None = None
    resolution: list[float] | None = None
    threshold: float = 0.5
    best_threshold: float | None = None
    separation: dict[str, float] = field(default_factory=dict)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    data: dict | None = None
    started_from: dict | None = None
    versions: dict[str, str] = field(default_factory=dict)
    scores: dict | None = None
    scores_at_best_threshold: dict | None = None
    notes: dict = field(default_factory=dict)
    evaluations: list[dict] = field(default_factory=list)

    def as_dict(self):
        """The contract as JSON can hold it, without empty notes."""
        values = asdict(self)
        for name in ("notes", "evaluations"):
            if not values[name]:
                del values[name]
        return values


def append_contract(path, contract):
    """Add a contract to a model file.

    Args:
        path: a ``.keras`` file without one.
        contract: a ``Contract``.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(MEMBER, contract_text(contract))


def contract_text(contract, **besides):
    """A contract, and what else a file says beside it, as JSON."""
    values = {"format": FORMAT, **contract.as_dict(), **besides}
    return json.dumps(values, indent=2)


def read_contract(path):
    """Read what a model file says of itself, without loading the model.

    Nothing of it is believed before it is checked: the archive, see
    ``unet.network.archive``, each field, see ``unet.network.contract_rules``,
    and whether both speak of one network.

    Returns:
        A ``Contract``. What an older file does not say has its default, the
        size is the network's; what a newer one says besides is left out.

    Raises:
        DataError: the file is no model of ours, of another format, or
            damaged.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(
            f"{path}: expected a model, found nothing. Train one with "
            "code/train/train_unet.py, or give another model."
        )
    try:
        return contract_of(path, contract_in(path), partial(network_in, path))
    except ForeignError as found:
        raise DataError(
            f"{path}: expected a .keras model made by code/train/"
            f"train_unet.py, found {found}. Give the model that training "
            "saved."
        ) from None


def contract_of(path, values, network):
    """What a model's file says of itself, once it is checked.

    Args:
        path: of the file, for what is said of it.
        values: what it holds, of JSON.
        network: function that returns its ``unet.network.archive.Network``.

    Returns:
        A ``Contract``, see ``read_contract``.

    Raises:
        ForeignError: a field is odd, or not of this network.
        DataError: it has another format.
    """
    if values["format"] == FORMAT:
        return _contract_of(values, network())
    raise DataError(
        f"{path}: expected format {FORMAT}, found {_shown(values['format'])}. "
        "Use the version of this project that made the model, or train it "
        "again."
    )


def _contract_of(values, network):
    """A ``Contract`` of what a file holds.

    Raises:
        ForeignError: a field is odd, or not of this network.
    """
    values = _known(Contract, values)
    for name, part, rules in (
        ("preprocessing", Preprocessing, contract_rules.PREPROCESSING),
        ("training", TrainingSettings, contract_rules.TRAINING),
    ):
        inner = values.pop(name, {})
        if not isinstance(inner, dict):
            raise ForeignError(
                f"{_shown(inner)} for the {name} in its contract"
            )
        inner = _known(part, inner)
        _check(inner, rules, f"{name}.")
        values[name] = part(**inner)
    _check(values, contract_rules.CONTRACT)
    if "classes" not in values:
        raise ForeignError("a contract without classes")
    values["classes"] = [same(name) for name in values["classes"]]
    if values.get("size") is None:
        values["size"] = network.size
    contract = Contract(**values)
    _check_network(contract, network)
    return contract


def _check(values, rules, where=""):
    """Raise ForeignError for the first value that its rule does not allow."""
    for name, rule in rules.items():
        if name in values and not rule.holds(values[name]):
            raise ForeignError(
                f"{_shown(values[name])} for {where}{name} in its contract "
                f"(expected {rule.expected})"
            )


def _check_network(contract, network):
    """Raise ForeignError where a contract belongs to another network."""
    classes = len(contract.classes)
    seen = contract.preprocessing
    bands = 3 if seen.bands is None else len(seen.bands)
    for name in ("limits", "mean", "variance"):
        values = getattr(seen, name)
        if values is not None and len(values) != bands:
            raise ForeignError(
                f"{_shown(values)} for preprocessing.{name} in its contract "
                f"(expected as many as bands, {bands})"
            )
    if network.bands != bands:
        raise ForeignError(
            f"a contract of {bands} band(s) with a network of {network.bands}"
        )
    if contract.size != network.size:
        raise ForeignError(
            f"a contract of the size {contract.size} with a network of "
            f"{network.size}"
        )
    if network.channels != (classes + 1 if classes > 1 else 1):
        raise ForeignError(
            f"a contract of {classes} class(es) with a network of "
            f"{network.channels} output(s)"
        )
    if contract.training.depth < network.halvings:
        raise ForeignError(
            f"a contract of the depth {contract.training.depth} with a "
            f"network of {network.halvings}"
        )
    unknown = set(contract.separation) - set(contract.classes)
    if unknown:
        raise ForeignError(
            f"the separation of {_shown(min(unknown))} in its contract, which "
            "is none of its classes"
        )


def _shown(value):
    """A value of a file, on one line and not too long."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]} ..."


def _known(part, values):
    """The values that a dataclass has a field for."""
    names = {each.name for each in fields(part)}
    return {name: value for name, value in values.items() if name in names}
