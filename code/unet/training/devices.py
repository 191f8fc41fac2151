"""The devices that share the images of each batch.

Every device has all weights and a part of the images; gradients are added up
over all of them before each step (``keras.distribution.DataParallel``, on
JAX). Losses, metrics and batch normalisation see the whole batch, so that a
training gives the same numbers on any number of devices, but for rounding.
"""

from contextlib import contextmanager

from unet.files.errors import DataError
from unet.network.backend import gpus, keras
from unet.training.hosts import Hosts


class Devices:
    """What a training computes on.

    Args:
        count: devices of this host.
        hosts: ``unet.training.hosts.Hosts``.
    """

    def __init__(self, count=1, hosts=None):
        self.count, self.hosts = count, hosts or Hosts()
        self.total = count * self.hosts.count
        self._layouts = None
        if self.total > 1:
            self._distribute()

    def _distribute(self):
        """Let all variables from here on be on all devices."""
        import jax
        from jax.experimental import multihost_utils
        from jax.sharding import NamedSharding, PartitionSpec

        each = [[] for _ in range(self.hosts.count)]
        for device in jax.devices():
            each[device.process_index].append(device)
        chosen = [device for own in each for device in own[: self.count]]
        mesh = keras.distribution.DeviceMesh((self.total,), ["batch"], chosen)
        everywhere = keras.distribution.DataParallel(
            device_mesh=mesh, auto_shard_dataset=False
        )
        keras.distribution.set_distribution(everywhere)
        if self.hosts.count > 1:
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
        """Bring this host's part of a batch to its devices.

        Args:
            arrays: a NumPy array, or a tuple of them, of the images that
                ``part`` says.
            images: in the whole batch.

        Returns:
            The same as arrays of JAX, of the whole batch; as they are where
            there is one device.
        """
        if self._layouts is None:
            return arrays
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
        """Train on all devices in here; afterwards the first host is alone.

        Args:
            model: compiled, made after these devices were chosen.
            batches: ``unet.training.batches.Batches`` with these devices.

        Raises:
            SystemExit: at the end, on all hosts but the first.
        """
        if keras.backend.backend() == "jax":
            # Keras 3.15 would build the metrics by a batch of its own, and
            # begin the first epoch with those that were made meanwhile.
            model._symbolic_build(data_batch=batches[0])
        if self.total > 1:
            # Batches lie where they belong. Keras would place them anew, and
            # cannot where they do not divide: it prepares here, and knows of
            # one device in ``fit``.
            model.make_train_function()
            model.make_test_function()
            keras.distribution.set_distribution(None)
        yield
        self.hosts.leave()
        if not self.hosts.first:
            raise SystemExit(0)


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
    if keras.backend.backend() != "jax":
        if (asked or 1) > 1 or hosts.count > 1:
            raise DataError(
                "several devices: expected the backend JAX, found "
                f"{keras.backend.backend()}. Install it (pip install "
                "'jax[cuda12]') and set KERAS_BACKEND=jax, or use 1 device."
            )
        return Devices()
    import jax

    there = jax.local_device_count()
    if asked and asked > there:
        raise DataError(
            f"expected {asked} devices on this host, found {there}: "
            f"{', '.join(map(str, jax.local_devices()))}. Ask for fewer."
        )
    count = asked or (there if gpus() else 1)
    while not asked and count > 1 and batch_size % (count * hosts.count):
        count -= 1
    if batch_size % (count * hosts.count):
        raise DataError(
            f"expected a batch size that {count * hosts.count} devices can "
            f"divide among them, found {batch_size}. Choose another batch "
            "size, or fewer devices."
        )
    return Devices(count, hosts)


ONE = Devices()
