"""A trained network written for runtimes that know nothing of Keras.

Keras' own ``Model.export`` does the work. What it gets wrong for our networks
is mended here: it loses the constants of a ``Normalization`` in ONNX, and lets
OpenVINO compute inner values as further outputs.
"""

import logging
import warnings
from pathlib import Path

import numpy as np

from unet.files.atomic import write_text
from unet.files.errors import DataError
from unet.files.quiet import held_back_stderr
from unet.network import deepness, own_layers
from unet.network.backend import keras
from unet.network.contract import contract_text
from unet.network.export_formats import CONTRACT, FORMATS, side_file
from unet.network.model import joined

layers = keras.layers
# What the answer is called in ONNX.
OUTPUT = "probabilities"


def for_export(model):
    """The same network in layers that every exporter understands.

    Args:
        model: of ``unet.network.model.load``.

    Returns:
        An uncompiled ``keras.Model`` from images of any number and of any
        sides that can be halved as often as it halves them, float32, N x
        height x width x channels, to one tensor: the probabilities and,
        behind them, the seams and borders of a network that has them.
    """
    whole = joined(model)
    config = own_layers.description(whole)
    for layer in config["config"]["layers"]:
        values = layer["config"]
        if layer["class_name"] == "InputLayer":
            values["batch_shape"] = [*[None] * 3, whole.input_shape[-1]]
        if layer["class_name"] == "Normalization":
            layer["class_name"], layer["registered_name"] = "Rescaling", None
            layer["config"] = _rescaling(whole.get_layer(values["name"]))
    twin = own_layers.made(config, whole)
    return keras.Model(twin.inputs[0], twin.outputs[0], name="unet")


def _rescaling(layer):
    """The options of a Rescaling that does what a Normalization does."""
    mean, variance = (
        np.ravel(keras.ops.convert_to_numpy(v)).astype(float)
        for v in (layer.mean, layer.variance)
    )
    scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    return {
        "name": layer.name,
        "dtype": "float32",
        "scale": scale.tolist(),
        "offset": (-mean * scale).tolist(),
    }


def export(model, path, name, contract, saved_on):
    """Write a network with its contract.

    Args:
        model: of ``unet.network.model.load``.
        path: the file, with the format's ending, or the directory; the other
            files of ``Format.names`` come beside it.
        name: of ``FORMATS``.
        contract: the model's ``unet.network.contract.Contract``.
        saved_on: the day on which it was trained, kept beside the contract.

    Returns:
        List of the names of the files that were written.

    Raises:
        DataError: the exporter refuses the network, or Keras does not compute
            with TensorFlow, which all exporters need.
    """
    path, backend = Path(path), keras.config.backend()
    if backend != "tensorflow":
        raise DataError(
            f"{path}: expected Keras to compute with tensorflow, found "
            f"{backend}. Install tensorflow, and leave KERAS_BACKEND out."
        )
    network = for_export(model)
    if name == "onnx":
        network = _channels_first(network)
    size = [side or 1 for side in model.input_shape[1:3]]
    text = contract_text(contract, saved_on=saved_on)
    # A network that never computed anything is refused.
    channels = model.input_shape[-1]
    shape = (channels, *size) if name == "onnx" else (*size, channels)
    network(np.zeros((1, *shape), np.float32))
    _export(network, path, name)
    if name == "onnx":
        _finish_onnx(path, contract, text)
    elif name == "openvino":
        _finish_openvino(path, text)
    elif name == "litert":
        write_text(side_file(path), text)
    else:
        write_text(path / f"{CONTRACT}.json", text)
    names = FORMATS[name].names(path)
    return [each for each in names if (path.parent / each).exists()]


def _export(network, path, name):
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), held_back_stderr(shown=False):
            warnings.simplefilter("ignore")
            network.export(
                str(path), format=FORMATS[name].keras_name, verbose=False
            )
    # Each of the exporters has errors of its own.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise DataError(
            f"{path.name}: expected a network that can be written as {name}, "
            f"found one that its exporter refuses ({reason}). Export to "
            "another format, or update Keras."
        ) from None


def _channels_first(network):
    """The network for images of N x channels x height x width, as is usual
    in ONNX; so are its answers."""
    image = keras.Input((network.input_shape[-1], None, None), name="image")
    answer = network(layers.Permute((2, 3, 1))(image))
    return keras.Model(image, layers.Permute((3, 1, 2))(answer), name="unet")


def _finish_onnx(path, contract, text):
    """Give an ONNX file plain names and its contract, and QGIS its own."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    (answer,) = graph.output
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [OUTPUT if n == answer.name else n for n in names]
    answer.name = OUTPUT
    for value in (graph.input[0], answer):
        dimensions = value.type.tensor_type.shape.dim
        for place, side in enumerate(("batch", None, "height", "width")):
            if side:
                dimensions[place].dim_param = side
    entry = model.metadata_props.add()
    entry.key, entry.value = CONTRACT, text
    onnx.checker.check_model(model)
    onnx.save(model, path)
    # QGIS shows it pictures of 8 bits, and makes no contrast.
    seen = contract.preprocessing
    if (seen.contrast, seen.bands, seen.limits) == ("none", None, None):
        onnx.save(
            deepness.for_deepness(model, contract),
            path.with_name(FORMATS["onnx"].names(path)[1]),
        )


def _finish_openvino(path, text):
    """Give an OpenVINO file its contract, and its first output alone."""
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model = openvino.Model([model.outputs[0]], model.get_parameters(), "unet")
    model.set_rt_info(text, CONTRACT)
    # What is read is mapped: it cannot be written over.
    written = path.with_name(f"own_{path.name}")
    openvino.serialize(model, written)
    del model
    for ending in (".xml", ".bin"):
        written.with_suffix(ending).replace(path.with_suffix(ending))
