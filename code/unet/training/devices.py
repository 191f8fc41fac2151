"""The devices that share the images of each batch.

Every device has all weights and a part of the images; gradients are added up
over all of them before each step. On JAX
(``keras.distribution.DataParallel``) losses, metrics and batch normalisation
see the whole batch, so that a training gives the same numbers on any number
of devices, but for rounding. On TensorFlow (``tf.distribute``, the devices of
one host) every device clips the gradients of its own part, draws its own
dropout, and takes overlaps and batch normalisation of its own part.
"""

from contextlib import contextmanager

import numpy as np

from unet.files.errors import DataError
from unet.files.folders import UNKNOWN
from unet.network.backend import gpus, keras
from unet.training.hosts import Hosts


class Devices:
    """What a training computes on: here one device, or the processor.

    Attributes:
        hosts: ``unet.training.hosts.Hosts``.
        total: devices of all hosts.
        ignoring: whether a batch may hold pixels of ``UNKNOWN`` although the
            data has none.
    """

    total = 1
    ignoring = False

    def __init__(self, hosts=None):
        self.hosts = hosts or Hosts()

    def loss(self, function):
        """A loss, or a dict of them by output, as the devices share it."""
        return function

    def part(self, images):
        """Which images of a batch this host reads, a slice."""
        return slice(0, images)

    def filled(self, x, y):
        """Images and truths of a batch that the devices can divide.

        Args:
            x: N x H x W x bands.
            y: N x H x W, or N x H x W x 2 with ids of objects; those of
                class come first.
        """
        return x, y

    def place(self, arrays, images):
        """Bring this host's part of a batch to its devices.

        Args:
            arrays: a NumPy array, or a tuple of them, of the images that
                ``part`` says.
            images: in the whole batch.
        """
        return arrays

    @contextmanager
    def training(self, model, batches):
        """Train on all devices in here; afterwards the first host is alone.

        Args:
            model: compiled, made after these devices were chosen.
            batches: ``unet.training.batches.Batches`` with these devices.

        Raises:
            SystemExit: at the end, on all hosts but the first.
        """
        if self.total > 1 or keras.backend.backend() == "jax":
            # Keras 3.15 would build the metrics by a batch of its own, and
            # begin the first epoch with those that were made meanwhile.
            model._symbolic_build(data_batch=batches[0])
        yield
        self.hosts.leave()
        if not self.hosts.first:
            raise SystemExit(0)


class Mirrored(Devices):
    """Several devices of this host, with TensorFlow.

    Args:
        names: of the devices, such as "gpu:0".
    """

    ignoring = True

    def __init__(self, names):
        import tensorflow as tf

        super().__init__()
        self.total = len(names)
        self._set_strategy = tf.distribute.experimental_set_strategy
        devices = [name.upper() for name in names]
        self._set_strategy(tf.distribute.MirroredStrategy(devices))

    def loss(self, function):
        """A loss that Keras divides by the number of devices.

        It does so only where it is left to take a mean.
        """
        if isinstance(function, dict):
            return {name: self.loss(own) for name, own in function.items()}
        return lambda truth, predicted: keras.ops.reshape(
            function(truth, predicted), (1,)
        )

    def filled(self, x, y):
        """As many images as can be divided; the added ones do not count."""
        images = -(-len(x) // self.total) * self.total
        if images == len(x):
            return x, y
        rows = np.arange(images) % len(x)
        x, y = x[rows], y[rows]
        y[rows != np.arange(images)] = UNKNOWN
        return x, y

    @contextmanager
    def training(self, model, batches):
        """Train on all devices in here; afterwards on the first one."""
        with super().training(model, batches):
            # Keras would take a batch again, and end an epoch by that.
            model._maybe_symbolic_build = lambda **_: None
            yield
        self._set_strategy(None)


class Sharded(Devices):
    """Several devices, of one or of several hosts, with JAX.

    Args:
        count: devices of each host.
        hosts: ``unet.training.hosts.Hosts``.
    """

    def __init__(self, count, hosts):
        import jax
        from jax.experimental import multihost_utils
        from jax.sharding import NamedSharding, PartitionSpec

        super().__init__(hosts)
        self.total = count * hosts.count
        each = [[] for _ in range(hosts.count)]
        for device in jax.devices():
            each[device.process_index].append(device)
        chosen = [device for own in each for device in own[:count]]
        mesh = keras.distribution.DeviceMesh((self.total,), ["batch"], chosen)
        everywhere = keras.distribution.DataParallel(
            device_mesh=mesh, auto_shard_dataset=False
        )
        # All variables from here on are on all devices.
        keras.distribution.set_distribution(everywhere)
        if hosts.count > 1:
            # They connect for computing now, while none has to wait: Gloo
            # gives up after 30 seconds.
            multihost_utils.sync_global_devices("devices")
        self._layouts = {
            shared: NamedSharding(mesh.backend_mesh, PartitionSpec(*axes))
            for shared, axes in ((True, ["batch"]), (False, []))
        }

    def part(self, images):
        """Which images of a batch this host reads, a slice.

        A batch that cannot be divided evenly, such as an epoch's last one, is
        computed whole by every device.
        """
        if not self._divides(images):
            return slice(0, images)
        own = images // self.hosts.count
        return slice(self.hosts.number * own, (self.hosts.number + 1) * own)

    def place(self, arrays, images):
        """Arrays of JAX, of the whole batch."""
        import jax

        layout = self._layouts[self._divides(images)]
        return jax.tree.map(
            lambda array: jax.make_array_from_process_local_data(
                layout, array, (images, *array.shape[1:])
            ),
            arrays,
        )

    def _divides(self, images):
        return images % self.total == 0

    @contextmanager
    def training(self, model, batches):
        """Train on all devices in here; afterwards the first host is alone."""
        with super().training(model, batches):
            # Batches lie where they belong. Keras would place them anew, and
            # cannot where they do not divide: it prepares here, and knows of
            # one device in ``fit``.
            model.make_train_function()
            model.make_test_function()
            keras.distribution.set_distribution(None)
            yield


def choose(asked, batch_size, hosts):
    """The devices of a training.

    Args:
        asked: devices of each host; None: all its GPUs, or the processor.
        batch_size: images in a training step, over all hosts.
        hosts: ``unet.training.hosts.Hosts``.

    Returns:
        ``Devices``: as many as a batch can be divided among.

    Raises:
        DataError: there are not so many, or the batch cannot be divided.
    """
    names = _own_devices()
    if asked and asked > len(names):
        raise DataError(
            f"expected {asked} devices on this host, found {len(names)}: "
            f"{', '.join(names)}. Ask for fewer."
        )
    count = asked or (len(names) if gpus() else 1)
    while not asked and count > 1 and batch_size % (count * hosts.count):
        count -= 1
    if batch_size % (count * hosts.count):
        raise DataError(
            f"expected a batch size that {count * hosts.count} devices can "
            f"divide among them, found {batch_size}. Choose another batch "
            "size, or fewer devices."
        )
    if count * hosts.count == 1:
        return Devices()
    if keras.backend.backend() == "jax":
        return Sharded(count, hosts)
    return Mirrored(names[:count])


def _own_devices():
    """Names of what the backend can compute on, on this host."""
    if keras.backend.backend() == "jax":
        import jax

        return [str(device) for device in jax.local_devices()]
    return keras.distribution.list_devices()


ONE = Devices()
