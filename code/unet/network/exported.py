"""Networks that ``unet.network.exporting`` has written, run without Keras."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np

from unet.files.cores import usable_cores
from unet.files.errors import DataError, printable
from unet.files.quiet import held_back_stderr
from unet.network.archive import ForeignError, Network
from unet.network.contract import contract_of
from unet.network.export_formats import CONTRACT, side_file


class Exported:
    """An exported network.

    It has of a ``keras.Model`` what predicting needs.

    Args:
        path: the file; of a SavedModel the directory.

    Attributes:
        contract: a ``unet.network.contract.Contract``.
        saved_on: the day on which the network was trained, in words.
        seams: whether the last two channels are seams and borders.
        input_shape, output_shape: as of a ``keras.Model``.

    Raises:
        DataError: the package that runs it is not installed, or the file is
            damaged or none of ours.
    """

    def __init__(self, path):
        path = Path(path)
        if not path.exists():
            raise DataError(
                f"{path}: expected an exported model, found nothing. Check "
                "the path."
            )
        try:
            runtime = _RUNTIMES[path.suffix.lower()]
            text, bands, shape, self._run = runtime(path)
            values = json.loads(text)
            values["format"]
        except ImportError as error:
            raise DataError(
                f"{path}: expected the package {error.name}, which runs it, "
                "found none. Install it: pip install -r "
                "code/test/requirements-export.txt"
            ) from None
        except DataError:
            raise
        # Each runtime has errors of its own.
        except Exception as error:
            reason = str(error).strip().partition("\n")[0][:200]
            raise _foreign(
                path, f"another or a damaged file ({reason})"
            ) from None
        _refuse_one_size(path, shape)
        try:
            self._describe(path, values, bands, shape[-1])
        except ForeignError as found:
            raise _foreign(path, found) from None

    def _describe(self, path, values, bands, channels):
        training = values.get("training")
        self.seams = isinstance(training, dict) and bool(
            training.get("objects")
        )
        network = Network(
            size=values.get("size"),
            bands=bands,
            channels=channels - 2 * self.seams,
            halvings=0,  # nobody asks what an exported one can take
        )
        self.contract = contract_of(path, values, lambda: network)
        if self.contract.size is None:
            raise ForeignError("a contract without a size")
        self.saved_on = printable(str(values.get("saved_on"))[:40])
        self.input_shape = (None, *self.contract.size, bands)
        self.output_shape = (None, None, None, channels)

    def predict_on_batch(self, batch):
        """What the network says of images.

        Args:
            batch: uint8 or float, N x height x width x channels, of sides
                that can be halved as often as the network halves them.

        Returns:
            float32, N x height x width x channels of the answer.
        """
        return self._run(np.asarray(batch, np.float32))


def _foreign(path, found):
    return DataError(
        f"{path}: expected a model that code/test/export.py wrote, found "
        f"{found}. Export it again."
    )


def _refuse_one_size(path, shape):
    """Raise DataError for a network of one size: scenes have windows of many.

    Args:
        shape: of its answers, N x height x width x channels; what is free is
            no whole number, or negative.
    """
    height, width = shape[1:3]
    if all(isinstance(n, int) and n > 1 for n in (height, width)):
        raise DataError(
            f"{path}: expected a network for images of any size, found one "
            f"for {height} x {width} pixels alone, such as QGIS needs. Give "
            "the file without _deepness in its name."
        )


def _onnx(path):
    """(contract, channels of images, shape of the answers, function from
    images to answers)."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.log_severity_level = 4  # what matters is raised
    session = runtime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    (image,), (answer,) = session.get_inputs(), session.get_outputs()
    count, channels, *sides = answer.shape

    def run(batch):
        first = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        (answers,) = session.run(None, {image.name: first})
        return np.ascontiguousarray(answers.transpose(0, 2, 3, 1))

    text = session.get_modelmeta().custom_metadata_map[CONTRACT]
    return text, image.shape[1], (count, *sides, channels), run


def _openvino(path):
    runtime = import_module("openvino")
    core = runtime.Core()
    model = core.read_model(path)
    text = str(model.get_rt_info(CONTRACT).value)
    shape = model.outputs[0].get_partial_shape()
    sides = [-1 if side.is_dynamic else side.get_length() for side in shape]
    # By itself it computes in 16 bits where the processor can.
    settings = {
        "INFERENCE_NUM_THREADS": usable_cores(),
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = core.compile_model(model, "CPU", settings)
    bands = model.inputs[0].get_partial_shape()[3].get_length()
    return text, bands, sides, lambda batch: compiled(batch)[0].copy()


def _litert(path):
    runtime = import_module("ai_edge_litert.interpreter")
    # It names its delegate on the terminal.
    with held_back_stderr():
        interpreter = runtime.Interpreter(str(path), num_threads=usable_cores())
    (image,) = interpreter.get_input_details()
    (answer,) = interpreter.get_output_details()
    shapes = [None]  # a mirror does not fit the single pixel of the file

    def run(batch):
        if batch.shape != shapes[0]:
            interpreter.resize_tensor_input(image["index"], batch.shape)
            with held_back_stderr():
                interpreter.allocate_tensors()
            shapes[0] = batch.shape
        interpreter.set_tensor(image["index"], batch)
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    text = side_file(path).read_text(encoding="utf-8")
    shape = [int(n) for n in answer["shape_signature"]]
    return text, int(image["shape_signature"][3]), shape, run


def _saved_model(path):
    import_module("unet.network.backend")  # imports TensorFlow quietly
    network = import_module("tensorflow").saved_model.load(str(path))
    signature = network.signatures["serving_default"]
    (image,) = signature.structured_input_signature[1].values()
    (answer,) = signature.structured_outputs.values()
    text = (path / f"{CONTRACT}.json").read_text(encoding="utf-8")
    shape = [-1 if n is None else n for n in answer.shape]
    bands = image.shape[3]
    return text, bands, shape, lambda batch: network.serve(batch).numpy()


_RUNTIMES = {
    ".onnx": _onnx,
    ".xml": _openvino,
    ".tflite": _litert,
    "": _saved_model,
}
