"""What the QGIS plugin Deepness reads in an ONNX file.

PUTvision/qgis-plugin-deepness 0.6.5, ``src/deepness/processing/models``: it
takes square tiles of one size that the file must name, divides their pixels
by 255, subtracts a mean and divides by a deviation, and shows N x channels x
height x width to the network.
"""

import json

import numpy as np

# Side of a tile and pixels that neighbours share, as of large images here.
_SIDE, _SHARED = 512, 64


def side(contract):
    """Side of the tiles: a multiple of what the network halves."""
    step = 2**contract.training.depth
    return -(-max(_SIDE, *contract.size) // step) * step


def metadata(contract, channels):
    """What the plugin reads, as a dict from names to values of JSON.

    Args:
        contract: the model's ``unet.network.contract.Contract``.
        channels: of the images.
    """
    classes = ["background", *contract.classes]
    tile = side(contract)
    values = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(classes)),
        # Its pages say the first of these names, its code the second.
        "tiles_size": tile,
        "tile_size": tile,
        "tiles_overlap": -(-100 * _SHARED // tile),
        # The network takes 0 to 255: what was divided is multiplied again.
        "standardization_mean": [0.0] * channels,
        "standardization_std": [1 / 255] * channels,
        # 0 is none: the most probable class wins.
        "seg_thresh": contract.threshold if len(classes) == 2 else 0.0,
        "seg_small_segment": 0,  # its median filter would change the mask
    }
    if contract.resolution is not None:
        metres = float(np.sqrt(np.prod(contract.resolution)))
        values["resolution"] = round(100 * metres, 2)
    return values


def for_deepness(model, contract):
    """An ONNX model that the plugin opens as it is.

    Args:
        model: of ``unet.network.exporting``, N x channels x height x width,
            of any sides.
        contract: the model's.

    Returns:
        A new ``onnx.ModelProto``: tiles of one size, and the classes'
        probabilities alone.
    """
    import onnx

    new = onnx.ModelProto()
    new.CopyFrom(model)
    (image,), (answer,) = new.graph.input, new.graph.output
    classes = len(contract.classes)
    channels = classes + 1 if classes > 1 else 1
    whole = f"{answer.name}_and_seams"
    dimensions = answer.type.tensor_type.shape.dim
    if dimensions[1].dim_value > channels:
        for node in new.graph.node:
            node.output[:] = [
                whole if n == answer.name else n for n in node.output
            ]
        for name, number in (("first", 0), ("end", channels), ("axis", 1)):
            new.graph.initializer.append(
                onnx.numpy_helper.from_array(np.array([number]), name)
            )
        names = [whole, "first", "end", "axis"]
        new.graph.node.append(
            onnx.helper.make_node("Slice", names, [answer.name])
        )
        dimensions[1].dim_value = channels
    for value in (image, answer):
        for place in (2, 3):
            value.type.tensor_type.shape.dim[place].dim_value = side(contract)
    channels = image.type.tensor_type.shape.dim[1].dim_value
    for name, value in metadata(contract, channels).items():
        entry = new.metadata_props.add()
        entry.key, entry.value = name, json.dumps(value)
    onnx.checker.check_model(new)
    return new
