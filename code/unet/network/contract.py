"""What a model file says of itself: data beside the weights.

A ``.keras`` file is a zip archive; the contract is one more member of it,
which Keras ignores. Reading it needs no Keras and takes no time. Whatever is
not named in the classes of this module is not written into a model file: a
new option of training is published by a line in ``TrainingSettings``.
"""

import json
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from unet.files.errors import DataError

FORMAT = 1
MEMBER = "contract.json"
# Ways down that are built here; others have learned before.
PLAIN_ENCODERS = ("plain", "residual")
# What JSON of another form, or none at all, leads to.
_MISREAD = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input.

    Attributes:
        resize: in words, how it gets its size.
        contrast: how it is enhanced, see ``unet.imagery.contrast``.
        input: in words, the values that the network takes.
        mean, variance: three floats each, of the training images divided by
            255: what the network's first layers centre by; None: they do not.
    """

    resize: str = "the whole image, by area where it shrinks"
    contrast: str = "none"
    input: str = "RGB, 0 to 255, scaled inside the network"
    mean: list[float] | None = None
    variance: list[float] | None = None


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
        values = {"format": FORMAT, **contract.as_dict()}
        archive.writestr(MEMBER, json.dumps(values, indent=2))


def read_contract(path):
    """Read what a model file says of itself, without loading the model.

    Returns:
        A ``Contract``. What an older file does not say has its default; what
        a newer one says besides is left out.

    Raises:
        DataError: the file is no model of ours, or of another format.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(
            f"{path}: expected a model, found nothing. Train one with "
            "code/train/train_unet.py, or give another model."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            values = json.loads(archive.read(MEMBER))
        version = values["format"]
        contract = _contract_of(values) if version == FORMAT else None
    except (OSError, zipfile.BadZipFile, *_MISREAD):
        raise DataError(
            f"{path}: expected a .keras model made by code/train/"
            "train_unet.py, found another kind of file. Give the model that "
            "training saved."
        ) from None
    if contract is None:
        raise DataError(
            f"{path}: expected format {FORMAT}, found {version}. Use the "
            "version of this project that made the model, or train it again."
        )
    return contract


def saved_on(path):
    """The day on which Keras saved a model file, ``YYYY-MM-DD``."""
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read("metadata.json"))
    return metadata["date_saved"].split("@")[0]


def _contract_of(values):
    """A ``Contract`` of what a file holds."""
    values = dict(values)
    for name, part in (
        ("preprocessing", Preprocessing),
        ("training", TrainingSettings),
    ):
        if name in values:
            values[name] = part(**_known(part, values[name]))
    return Contract(**_known(Contract, values))


def _known(part, values):
    """The values that a dataclass has a field for."""
    names = {each.name for each in fields(part)}
    return {name: value for name, value in values.items() if name in names}
