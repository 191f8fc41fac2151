"""The formats that a trained network can be exported to: names alone."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from unet.files.errors import DataError

# What a model says of itself: an entry of the file, or a file beside it.
CONTRACT = "contract"
# What lies in the directory of a SavedModel.
SAVED_MODEL = (
    *("saved_model.pb", "fingerprint.pb", "variables", "assets"),
    f"{CONTRACT}.json",
)


@dataclass(frozen=True)
class Format:
    """A format to export to.

    Attributes:
        files: in words, what is written of a model NAME.
        keras_name: what ``keras.Model.export`` calls it.
        packages: that writing and running it need, beside TensorFlow.
        ending: of the main file's name; none: it is a directory.
    """

    files: str
    keras_name: str
    packages: tuple[str, ...]
    ending: str

    def names(self, path):
        """Names of what may be written for a path, the main one first."""
        path = Path(path)
        also = {
            ".onnx": [f"{path.stem}_deepness.onnx"],
            ".xml": [path.with_suffix(".bin").name],
            ".tflite": [side_file(path).name],
        }
        return [path.name, *also.get(self.ending, [])]


FORMATS = {
    "onnx": Format(
        "NAME.onnx, and NAME_deepness.onnx for QGIS",
        "onnx",
        ("onnx", "tf2onnx", "onnxruntime"),
        ".onnx",
    ),
    "openvino": Format(
        "NAME.xml and NAME.bin", "openvino", ("openvino",), ".xml"
    ),
    "litert": Format(
        "NAME.tflite and NAME.json", "litert", ("ai_edge_litert",), ".tflite"
    ),
    "saved_model": Format("NAME_saved_model/", "tf_saved_model", (), ""),
}
# Of the files that ``unet.network.exported`` predicts scenes with.
ENDINGS = tuple(each.ending for each in FORMATS.values() if each.ending)


def side_file(path):
    """Where the contract lies of a file that has no room for it."""
    return Path(path).with_suffix(".json")


def check_packages(name):
    """Raise DataError if a package that a format needs is not installed."""
    missing = [p for p in FORMATS[name].packages if find_spec(p) is None]
    if missing:
        raise DataError(
            f"{name}: expected the package {', '.join(missing)}, found none. "
            "Install it: pip install -r code/test/requirements-export.txt"
        )
