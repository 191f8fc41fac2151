"""The options that say what a training computes on: GPUs, and hosts."""

import atexit
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path

from unet.files.errors import DataError
from unet.terminal.cli import number

# Of a run: what is needed to go on with it.
_KEPT = ("settings.json", "log.csv", "unet.keras", "state.weights.h5")
# Where a host reads and writes, and what it shows.
_OWN = ("data", "model", "out", "resume", "overwrite", "quiet", "tensorboard")
# What no run remembers: it can go on elsewhere.
NAMES = ("devices", "hosts", "host", "coordinator", "host_timeout")
_FILES = ("start_from", "encoder_weights")
_COUNT = number(int, 1)


def add(parser):
    """Add the options of a training on several devices."""
    add = parser.add_argument_group("several GPUs and hosts").add_argument
    add(
        "--devices",
        type=_COUNT,
        metavar="N",
        help="GPUs of each host that share every batch; without it all that "
        "divide the batch evenly",
    )
    add(
        "--hosts",
        type=_COUNT,
        default=1,
        metavar="N",
        help="processes that train together, one on each host, with JAX; the "
        "same command runs on all, and the first one writes",
    )
    add(
        "--host",
        type=number(int, 0),
        metavar="I",
        help="number of this host, from 0; Slurm and Open MPI tell it",
    )
    add(
        "--coordinator",
        metavar="ADDRESS:PORT",
        help="address of host 0, and a port that is free there; Slurm and "
        "Open MPI tell it",
    )
    add(
        "--host-timeout",
        type=_COUNT,
        metavar="SECONDS",
        default=300,
        help="longest time to wait for a host that is missing or silent",
    )


def join(args):
    """Meet the other hosts, if there are any.

    Only the first keeps what it writes; the others show nothing but errors,
    and have directories of their own that go with them.

    Args:
        args: with the options of ``add``; changed on the others.

    Returns:
        ``unet.training.hosts.Hosts``.

    Raises:
        DataError: there are others, and nothing says where.
    """
    from unet.training.hosts import Hosts, connect, watch

    if args.hosts == 1:
        return Hosts()
    if args.host is not None and args.host >= args.hosts:
        raise DataError(
            f"--host {args.host}: expected a number from 0 to "
            f"{args.hosts - 1}, with --hosts {args.hosts}."
        )
    from unet.network.backend import keras

    if keras.backend.backend() != "jax":
        raise DataError(
            f"--hosts {args.hosts}: expected the backend JAX, found "
            f"{keras.backend.backend()}. Install JAX and set KERAS_BACKEND=jax."
        )
    hosts = connect(
        args.hosts, args.host, args.coordinator, args.host_timeout, _end
    )
    first = json.loads(hosts.share("resumed", json.dumps(bool(args.resume)))[0])
    if first != bool(args.resume):
        raise DataError(
            f"--resume: host 0 {'goes on with' if first else 'starts'} a run, "
            f"and host {hosts.number} does not. Give both the same options."
        )
    if hosts.first:
        if args.resume:
            kept = [args.resume / name for name in _KEPT]
            hosts.send("run", [path for path in kept if path.exists()])
        watch(_end)
    else:
        place = _write_elsewhere(args, hosts)
        watch(partial(_end, place=place))
    return hosts


def _end(line, place=None):
    """Tell a line and end this process now, and its directory."""
    # The main thread may run on for a moment, in a directory that goes.
    sys.excepthook = lambda *_: None
    print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
    if place:
        shutil.rmtree(place, ignore_errors=True)
    os._exit(2)


def _write_elsewhere(args, hosts):
    """Let a host that is not the first leave nothing; its directory."""
    place = Path(tempfile.mkdtemp(prefix="unet-host-"))
    atexit.register(partial(shutil.rmtree, place, ignore_errors=True))
    args.out, args.model = place / "run", place / "model.keras"
    args.tensorboard, args.quiet = False, True
    if args.resume:
        args.resume = args.out
        hosts.receive("run", args.resume)
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    return place


def choose(args, data, hosts):
    """The devices of a training, told in a line where there are several.

    Args:
        args: with the options of ``add``.
        data: ``unet.training.dataset.Dataset`` of the training images.
        hosts: of ``join``.

    Returns:
        ``unet.training.devices.Devices``.

    Raises:
        DataError: hosts differ in what decides about the weights.
    """
    from unet.training import devices

    if hosts.count > 1:
        _check_alike(_facts(args, data), hosts)
    chosen = devices.choose(args.devices, args.batch_size, hosts)
    if chosen.total > 1:
        where = f" on {hosts.count} hosts" * (hosts.count > 1)
        print(
            f"{chosen.total} devices{where}: each computes "
            f"{args.batch_size // chosen.total} of the {args.batch_size} "
            "images of a batch"
        )
    return chosen


def _check_alike(facts, hosts):
    """Compare what hosts know.

    Args:
        facts: dict from a name to its value, as texts.
        hosts: ``unet.training.hosts.Hosts``.

    Raises:
        DataError: a host knows something else than the first.
    """
    told = hosts.share("facts", json.dumps(facts))
    first, *others = map(json.loads, told)
    for other, theirs in enumerate(others, start=1):
        for name, value in first.items():
            if theirs.get(name) != value:
                raise DataError(
                    f"host {other}: expected the same {name} as on host 0, "
                    f"{value}, found {theirs.get(name)}. Give all hosts the "
                    "same data, options and versions."
                )


def _facts(args, data):
    """What must be the same on all hosts."""
    facts = {"images": f"{len(data.names)} images with digest {data.digest}"}
    for name, value in vars(args).items():
        if name in _FILES and value and Path(value).is_file():
            content = Path(value).read_bytes()
            value = hashlib.sha256(content).hexdigest()[:16]
        if name not in (*_OWN, "host", "coordinator", "host_timeout"):
            facts[f"--{name.replace('_', '-')}"] = str(value)
    for package in ("keras", "jax", "jaxlib", "numpy", "cv2"):
        facts[package] = import_module(package).__version__
    facts["Python"] = ".".join(platform.python_version_tuple()[:2])
    code = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        code.update(path.relative_to(package).as_posix().encode())
        code.update(path.read_bytes())
    facts["code"] = f"code/unet of digest {code.hexdigest()[:16]}"
    return facts
