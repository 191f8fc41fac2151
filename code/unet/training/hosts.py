"""Several processes that train one network, one on each host.

JAX connects them; it is all that this module needs. Where a host is missing
or ends, JAX aborts the process from C++ after many lines of its own. They are
held back here, and one line and exit code 2 come instead.
"""

import ctypes
import io
import os
import signal
import sys
import tempfile
import zipfile

from unet.files.errors import DataError

_CHUNK = 1 << 20  # bytes in a message between hosts
# Words of errors that say that a connection has broken.
_BROKEN = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED")
_DAY = 24 * 3600 * 1000  # ms; a host that ends meanwhile is noticed by JAX


class Hosts:
    """The processes of a training, of which this is one.

    Attributes:
        count: processes, 1 where there are no others.
        number: of this one, from 0.
    """

    def __init__(self, count=1, number=0):
        self.count, self.number = count, number

    @property
    def first(self):
        """Whether this process is the one that writes."""
        return self.number == 0

    def share(self, name, value):
        """Tell all hosts a text, and hear theirs.

        Args:
            name: of the subject, used once in a training.
            value: str.

        Returns:
            List of str, by the number of the host.
        """
        _client().key_value_set(f"{name}/{self.number}", value)
        return [
            _client().blocking_key_value_get(f"{name}/{number}", _DAY)
            for number in range(self.count)
        ]

    def send(self, name, files):
        """Give all hosts the same files; called by the first.

        Args:
            name: of the subject, used once in a training.
            files: list of ``pathlib.Path``.
        """
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path in files:
                archive.write(path, path.name)
        data = packed.getvalue()
        starts = range(0, len(data), _CHUNK)
        client = _client()
        for k, start in enumerate(starts):
            chunk = data[start : start + _CHUNK]
            client.key_value_set_bytes(f"{name}/{k}", chunk)
        client.key_value_set(f"{name}/chunks", str(len(starts)))

    def receive(self, name, directory):
        """Write the files of the first host into a directory."""
        client = _client()
        count = int(client.blocking_key_value_get(f"{name}/chunks", _DAY))
        chunks = [
            client.blocking_key_value_get_bytes(f"{name}/{k}", _DAY)
            for k in range(count)
        ]
        with zipfile.ZipFile(io.BytesIO(b"".join(chunks))) as archive:
            archive.extractall(directory)

    def leave(self):
        """Wait for the others to come as far, and go on alone."""
        if self.count > 1:
            import jax

            jax.distributed.shutdown()
            _on_abort(None)


def connect(count, number, address, seconds, end):
    """Meet the other hosts; before anything is computed.

    Args:
        count: processes.
        number: of this one, from 0; None: JAX asks Slurm or Open MPI.
        address: "host:port" of the first process; None: likewise.
        seconds: how long to wait for them, and how long one of them may be
            silent later.
        end: function that tells a line and ends this process at once.

    Returns:
        ``Hosts``.

    Raises:
        DataError: JAX knows too little to find them.
    """
    import jax

    place = address or "the address that the batch system names"
    _hold_back_other_lines()
    _on_abort(
        end,
        f"expected {count} hosts to meet at {place}, found fewer within "
        f"{seconds} seconds. Start all of them, with the same address, each "
        "with its own number, and let nothing block the port.",
    )
    # JAX waits in C++, where Python hears no signal. Nothing is begun yet.
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_DFL) for number in signals]
    try:
        jax.distributed.initialize(
            coordinator_address=address,
            num_processes=count,
            process_id=number,
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=seconds,
            shutdown_timeout_seconds=seconds,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"expected {count} hosts to meet at {place}, found: {reason} Give "
            "each host its number, and all of them the first one's address."
        ) from None
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
    return Hosts(count, jax.process_index())


def watch(end):
    """From here on tell of a host that has gone, and end with it.

    Args:
        end: function that tells a line and ends this process at once; threads
            of JAX still wait.
    """
    line = (
        "another host has ended, or cannot be reached: look at its last "
        "lines. All hosts go on with the run's last whole epoch when they are "
        "started again to resume it."
    )
    former = sys.excepthook

    def hook(kind, error, trace):
        if any(word in f"{error}" for word in _BROKEN):
            end(line)
        former(kind, error, trace)

    sys.excepthook = hook
    _on_abort(end, line)


def _client():
    """JAX' own connection, which it keeps to itself."""
    from jax._src import distributed

    return distributed.global_state.client


def _hold_back_other_lines():
    """Give C++ a file for its lines, and Python the terminal."""
    with tempfile.TemporaryFile() as file:
        for name, number in (("stdout", 1), ("stderr", 2)):
            getattr(sys, name).flush()
            own = os.fdopen(os.dup(number), "w", buffering=1)
            setattr(sys, name, own)
            os.dup2(file.fileno(), number)


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
_handlers = []  # C has their addresses


def _on_abort(end, line=None):
    """Let an abort of C++ end the process with a line; no end: abort."""
    system = ctypes.CDLL(None)
    system.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    if end is None:
        system.signal(signal.SIGABRT, None)
        return
    handler = _HANDLER(lambda number: end(line))
    _handlers.append(handler)
    system.signal(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
