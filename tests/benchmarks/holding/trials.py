"""Damaged files through all readers, in a process that is watched."""

import multiprocessing
import os
import random
import resource
import shutil
import time
from dataclasses import dataclass, replace

import psutil

from holding.mutation import mutated
from holding.readers import kinds
from unet.files.errors import DataError

ACCEPTED, REFUSED, BROKE = "accepted", "refused", "broke"
# Seconds between two looks at the process.
LOOK = 0.1


@dataclass(frozen=True)
class Bounds:
    """What no file may take.

    Attributes:
        seconds: of all its readers together.
        mebibytes: beyond what the process has after the undamaged files.
    """

    seconds: float
    mebibytes: int


@dataclass(frozen=True)
class Result:
    """What became of a file.

    Attributes:
        number: of the file; with the seed it says how it was damaged.
        kind: its kind.
        outcome: accepted, refused or broke.
        reason: why it broke.
        seconds: of all its readers together.
        printed: what libraries have printed past Python.
    """

    number: int
    kind: str
    outcome: str
    reason: str = ""
    seconds: float = 0
    printed: str = ""


def attempt(known, place, number, seed):
    """Damage a file, and read it.

    Args:
        known: of ``holding.readers.kinds``.
        place: its directory.
        number, seed: of the file; kinds take turns.

    Returns:
        ``Result``.
    """
    names = list(known)
    name = names[number % len(names)]
    rng = random.Random(f"{seed}:{number}")
    path = place / name / known[name].file
    path.write_bytes(mutated(known[name].content, rng))
    start = time.perf_counter()
    outcome, reason = read_all(known[name], path)
    seconds = time.perf_counter() - start
    return Result(number, name, outcome, reason, seconds)


def read_all(kind, path):
    """(outcome, reason) of a file: each of its readers takes its turn."""
    refused = False
    for reader in kind.readers:
        try:
            reader(path)
        except DataError as error:
            refused = True
            text = str(error)
            named = path.name in text or (kind.beside or path.name) in text
            if len(text.splitlines()) != 1 or not text.isprintable():
                return BROKE, f"no line: {text!r}"
            if not named:
                return BROKE, f"names no file: {text}"
        except Exception as error:
            return BROKE, f"{type(error).__name__}: {error}"
    return (REFUSED if refused else ACCEPTED), ""


def check_undamaged(known, place):
    """Each kind's own file is read, or the trial says nothing."""
    for name, kind in known.items():
        path = place / name / kind.file
        path.write_bytes(kind.content)
        errors = []
        for reader in kind.readers:
            try:
                reader(path)
            except DataError as error:
                errors.append(error)
        if len(errors) == len(kind.readers):
            raise RuntimeError(f"{name}: {errors[0]}")


# Watched -------------------------------------------------------------------


def results(count, seed, place, keep, bounds):
    """Try files in a child process, and in another one when it dies.

    Args:
        count: how many.
        seed: of all damage.
        place: a directory for them.
        keep: a directory for those that broke.
        bounds: ``Bounds``.

    Yields:
        ``Result``, in order.
    """
    number = 0
    while number < count:
        here = place / f"from_{number}"
        for result in _of_a_child(here, number, count, seed, keep, bounds):
            number = result.number + 1
            yield result


def _of_a_child(place, first, count, seed, keep, bounds):
    context = multiprocessing.get_context("spawn")
    pipe, end = context.Pipe(duplex=False)
    child = context.Process(
        target=_work, args=(place, first, count, seed, keep, bounds, end)
    )
    child.start()
    end.close()
    try:
        names = pipe.recv()
        process = psutil.Process(child.pid)
        most = process.memory_info().rss + (bounds.mebibytes << 20)
        number = first
        while number < count:
            result = _next(pipe, process, most, bounds)
            if isinstance(result, str):
                name = names[number % len(names)]
                for path in (place / name).iterdir():
                    if path.is_file():
                        keep.mkdir(parents=True, exist_ok=True)
                        shutil.copy(path, keep / f"{number}_{path.name}")
                yield Result(number, name, BROKE, result)
                return
            yield result
            number = result.number + 1
    finally:
        child.kill()
        child.join()


def _next(pipe, process, most, bounds):
    """The next result; or why there is none, a text."""
    start = time.monotonic()
    while not pipe.poll(LOOK):
        try:
            if process.memory_info().rss > most:
                return f"took more than {bounds.mebibytes} MiB"
        except psutil.NoSuchProcess:
            return "ended the process"
        if time.monotonic() - start > bounds.seconds:
            return f"took more than {bounds.seconds:g} s"
    try:
        return pipe.recv()
    except EOFError:
        return "ended the process"


def _work(place, first, count, seed, keep, bounds, pipe):
    """Try files, and tell of each; what is printed is told as well."""
    known = kinds(place, keras=True)
    check_undamaged(known, place)
    said = _Said(place / "said.txt")
    pipe.send(list(known))
    before = _peak()
    for number in range(first, count):
        result = attempt(known, place, number, seed)
        result = replace(result, printed=said.text())
        if _peak() - before > bounds.mebibytes:
            reason = f"took more than {bounds.mebibytes} MiB"
            result = replace(result, outcome=BROKE, reason=reason)
            before = _peak()
        if result.outcome == BROKE:
            keep.mkdir(parents=True, exist_ok=True)
            file = known[result.kind].file
            shutil.copy(place / result.kind / file, keep / f"{number}_{file}")
        pipe.send(result)


def _peak():
    """Mebibytes that the process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


class _Said:
    """What this process writes to its standard error."""

    def __init__(self, path):
        self._file = path.open("w+b")
        os.dup2(self._file.fileno(), 2)

    def text(self):
        """What is new."""
        size = os.fstat(self._file.fileno()).st_size
        if not size:
            return ""
        self._file.seek(0)
        text = self._file.read().decode(errors="replace").strip()
        os.ftruncate(self._file.fileno(), 0)
        os.lseek(2, 0, os.SEEK_SET)
        return text
