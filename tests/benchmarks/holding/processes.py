"""Scripts that are killed or terminated, and started again."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.transform import from_origin

from conftest import CODE, contents, make_tree, run_script, small_network
from unet.network.contract import Contract

# Seconds between two looks at what a script has begun to write.
LOOK = 0.005
# How often a script may be faster than its signal before that is an error.
MOST_MISSES = 10
EARLIER = 0.7  # what each miss makes of the next moment


@dataclass(frozen=True)
class Command:
    """A command whose results are the same each time.

    Attributes:
        script: below code/.
        words: its arguments.
        whole: what does not exist, or is all old or all new, with all that
            lies beside it; None: results come one by one.
    """

    script: str
    words: tuple
    whole: str | None = None


def inputs(place, seed):
    """What the scripts read, in a directory: images, annotations, a model."""
    place.mkdir(parents=True)
    run = [
        ("util/make_sample.py", "--out", "raw", "--scenes", 12, "--seed", seed),
        ("util/polygon_to_mask.py", "raw/images", "raw/annotations",
         "--out", "folders"),
    ]  # fmt: skip
    for words in run:
        run_script(*words, cwd=place).check_returncode()
    # Large spots: in noise the network finds thousands of objects.
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    scene = cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_NEAREST)
    with rasterio.open(
        place / "scene.tif", "w", driver="GTiff", width=160, height=120,
        count=3, dtype="uint8", crs="EPSG:32645",
        transform=from_origin(500000, 3e6, 1, 1),
    ) as file:  # fmt: skip
        file.write(np.moveaxis(scene, 2, 0))
    make_tree(place / "photos", 6, seed=seed)
    model(place / "m.keras")
    return place


def model(path):
    """A network that nobody has trained."""
    from unet.network.model import save

    save(small_network(), path, Contract(["building"], [32, 32], scale=0.5))


def commands(place):
    """The commands that are tried, by name; ``place`` is that of ``inputs``."""
    raw = place / "raw/images", place / "raw/annotations"
    folders, out = place / "folders", ("--out", "out")
    predict = ("--model", place / "m.keras", *out)
    return {
        "polygon_to_mask": Command(
            "util/polygon_to_mask.py", (*raw, *out), whole="out"
        ),
        "tile": Command("util/tile.py", (*raw, "--size", 32, *out), "out"),
        "split": Command("util/split.py", (folders, *out), whole="out/train"),
        "resize": Command(
            "util/resize.py", (folders, "--size", 64, *out), whole="out"
        ),
        "check": Command(
            "util/check.py", (folders, *out), whole="out/report.html"
        ),
        "check --fix": Command(
            "util/check.py", (folders, *out, "--fix", "mended")
        ),
        "grabcut": Command("util/grabcut.py", (*raw, *out)),
        "make_sample": Command(
            "util/make_sample.py",
            ("--scenes", 12, "--seed", place.name[-1], *out),
            whole="out",
        ),
        "photos": Command(
            "test/test.py",
            (place / "photos", *predict, "--annotations", "labelme"),
        ),
        "scene": Command(
            "test/test.py",
            (place / "scene.tif", *predict, "--layer", "geojson"),
        ),
    }


@dataclass(frozen=True)
class Run:
    """A command that nothing disturbed.

    Attributes:
        files: bytes of all that it wrote, by path.
        code: what it exits with.
        seconds, first: to its end, and to the first thing that it wrote.
    """

    files: dict
    code: int
    seconds: float
    first: float


class Reference:
    """What commands write that nothing disturbs; each runs when asked for."""

    def __init__(self, place):
        self._place = place
        self._known = {}

    def __call__(self, name, seed):
        """A ``Run`` of a command on the inputs of a seed."""
        if (name, seed) not in self._known:
            cwd = self._place / f"{name} {seed}"
            cwd.mkdir()
            command = self.command(name, seed)
            start = time.monotonic()
            process = begin(command, cwd, [])
            wait_for(lambda: listing(cwd), process)
            first = time.monotonic() - start
            errors = process.communicate()[1]
            code, seconds = process.returncode, time.monotonic() - start
            if code not in (0, 1) or errors:  # 1: check.py has findings
                raise RuntimeError(f"{name}: {code} {errors}")
            run = Run(contents(cwd), code, seconds, first)
            self._known[name, seed] = run
        return self._known[name, seed]

    def command(self, name, seed):
        """A command on the inputs of a seed, which are made if absent."""
        place = self._place / f"inputs_{seed}"
        if not place.exists():
            inputs(place, seed)
        return commands(place)[name]


def begin(command, cwd, words):
    return subprocess.Popen(
        [sys.executable, str(CODE / command.script),
         *map(str, (*command.words, *words))],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def listing(place):
    """All names below a directory, hidden ones as well."""
    found = set()
    for root, directories, files in os.walk(place):
        found |= {f"{root}/{name}" for name in directories + files}
    return found


def wait_for(condition, process):
    """Wait until something is so, or a process has ended."""
    while process.poll() is None and not condition():
        time.sleep(LOOK)


@dataclass(frozen=True)
class Trial:
    """A disturbed command.

    Attributes:
        name: of the command.
        moment: seconds after its start.
        reason: why it broke; "" if it held.
    """

    name: str
    moment: float
    reason: str = ""


def disturb(start, ready, number, seconds, first, rng):
    """Start a process, and send it a signal at a random moment.

    Half of the moments lie anywhere; half of them behind the first sign of
    its work, because imports take most of the time.

    Args:
        start: function that starts it.
        ready: function that tells the first sign.
        number: of the signal.
        seconds, first: how long it takes undisturbed, and to the first sign.
        rng: ``random.Random``.

    Returns:
        (seconds to the signal, or None if it came too late; exit code; lines
        of its standard error).
    """
    process, begun = start(), time.monotonic()
    if rng.random() < 0.5:
        time.sleep(rng.uniform(0, seconds))
    else:
        wait_for(ready, process)
        time.sleep(rng.uniform(0, seconds - first))
    late = process.poll() is not None
    moment = time.monotonic() - begun
    process.send_signal(number)
    errors = process.communicate()[1]
    lines = [line for line in errors.splitlines() if line.strip()]
    return None if late else moment, process.returncode, lines


def trials(count, number, seed, place):
    """Disturb commands in turn, start them again, and compare.

    Every third finds an older result and replaces it.

    Args:
        count: how many signals.
        number: of the signal.
        seed: of all moments.
        place: an empty directory.

    Yields:
        ``Trial``.
    """
    reference = Reference(place)
    names = list(commands(place))
    for k in range(count):
        rng = random.Random(f"{seed}:{k}")
        name, replaces = names[k % len(names)], k // len(names) % 3 == 2
        for attempt in range(MOST_MISSES):
            cwd = place / f"{k}_{attempt}"
            cwd.mkdir()
            # A machine that was busy when the script was timed may be idle.
            times = EARLIER**attempt
            trial = _trial(reference, name, replaces, number, cwd, rng, times)
            if trial:
                yield trial
                break
        else:
            raise RuntimeError(f"{name}: it is always faster than its signal")


def _trial(reference, name, replaces, number, cwd, rng, times=1.0):
    """``Trial``, or None where the signal came too late.

    Moments are ``times`` those of the undisturbed run.
    """
    old = reference(name, 1).files if replaces else {}
    run = reference(name, 0)
    command = reference.command(name, 0)
    write(cwd, old)
    before, words = listing(cwd), ["--overwrite"] * replaces
    moment, code, lines = disturb(
        lambda: begin(command, cwd, words),
        lambda: listing(cwd) != before,
        number,
        run.seconds * times,
        run.first * times,
        rng,
    )
    if moment is None:
        return None
    reason = half_done(command, cwd, old, run.files)
    if number == signal.SIGTERM and not reason:
        reason = not_ended(command, run, code, lines, cwd, before)
    again = begin(command, cwd, words)
    errors = again.communicate()[1]
    reason = reason or not_the_same(run, again.returncode, errors, cwd)
    if replaces:
        name = f"{name} --overwrite"
    return Trial(name, moment, reason)


def write(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def is_hidden(name):
    return any(part.startswith(".") for part in Path(name).parts)


def half_done(command, cwd, old, new):
    """What looks whole and is not, or ""."""
    seen = {k: v for k, v in contents(cwd).items() if not is_hidden(k)}
    for name, data in seen.items():
        if data not in (old.get(name), new.get(name)):
            return f"{name} is neither the old nor the new one"
    whole = command.whole and (cwd / command.whole).exists()
    if whole and seen not in (old, new):
        return "old ones lie beside new ones, or some are missing"
    return ""


def not_ended(command, run, code, lines, cwd, before):
    """Why a process did not end as one that is asked to, or ""."""
    if code == run.code:
        return ""  # it was done
    names = {os.path.relpath(name, cwd) for name in listing(cwd) - before}
    if code == -signal.SIGTERM:  # Python itself was starting, or ending
        whole = not names or contents(cwd) == run.files
        return "" if whole else f"was ended by the signal, left {min(names)}"
    if code != 143 or len(lines) != 1:
        return f"ended with {code} and {lines}"
    if command.whole and any(map(is_hidden, names)):
        return f"left {min(filter(is_hidden, names))}"
    return ""


def not_the_same(run, code, errors, cwd):
    """How the results differ from those of an undisturbed run, or ""."""
    done = code == 2 and "exists already" in errors
    if code != run.code and not done:
        return f"the second run ended with {code}: {errors.strip()[-300:]}"
    found = contents(cwd)
    if found != run.files:
        names = sorted(
            name
            for name in {*found, *run.files}
            if found.get(name) != run.files.get(name)
        )
        return f"differs: {', '.join(names[:5])}"
    hidden = [name for name in listing(cwd) if is_hidden(Path(name).name)]
    return f"left {hidden[0]}" if hidden else ""
