"""Scenes that several processes predict into one directory.

Nothing but the directory joins the processes. In ``.scenes`` there each scene
has a lock file while somebody predicts it (``unet.files.leases``), a directory
with what is begun, and a record when it is finished or has failed. Scenes that
are large for one process are divided into parts, which are leased alike.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from unet.files.atomic import write_text
from unet.files.folders import digest_of_files
from unet.files.leases import Lease, Leases
from unet.files.virtual import state_of
from unet.prediction.outputs import Wanted
from unet.prediction.scenes import row_parts
from unet.prediction.stream import Source
from unet.prediction.strip import Settings

# Pixels of a part of a scene, at most and at least: a part is as small as is
# good for the number of processes, but its upper windows are seen twice.
MOST, FEWEST = 2.0**26, 2.0**22
_PLACE = ".scenes"
_RECORD, _STAGE, _PARTS = ".json", ".stage", "parts.json"


@dataclass(frozen=True)
class Job:
    """What a process must know to predict one of the scenes.

    Attributes:
        out: directory of the results, which all processes see.
        model: the model's file.
        settings: how the scenes are predicted.
        classes: foreground class names.
        wanted: what is made of the predictions.
        annotated: whether polygons to edit are kept.
        shown: names of the images of the contact sheet.
        most_pixels: of a part of a scene.
    """

    out: Path
    model: Path
    settings: Settings
    classes: tuple[str, ...]
    wanted: Wanted
    annotated: bool = False
    shown: frozenset[str] = frozenset()
    most_pixels: float = MOST

    def divided(self, sources, processes):
        """The same job with parts of scenes for a number of processes."""
        share = sum(map(pixels_of, sources)) / max(1, processes)
        return replace(self, most_pixels=min(MOST, max(FEWEST, share)))

    @property
    def place(self):
        """Where locks, records and what is begun lie."""
        return self.out / _PLACE

    def record_path(self, name):
        """The record of the scene of that name."""
        return self.place / f"{name}{_RECORD}"

    def kept(self, name):
        """Where lies what is made of all scenes: see ``keep``."""
        return self.place / f"{name}.kept"

    def stage(self, source):
        """Where a scene's results lie until all of them are there."""
        name = f"{source.name}.{self.digest(source)}{_STAGE}"
        return self.place / name

    @cached_property
    def _facts(self):
        model = hashlib.sha256(self.model.read_bytes()).hexdigest()
        truth = self.wanted.truth and state_of(self.wanted.truth)
        wanted = replace(self.wanted, truth=None)
        how = self.settings, self.classes, wanted, self.annotated
        return repr((model, *how, truth))

    def digest(self, source):
        """A name for a scene's results: others have another one.

        Args:
            source: ``unet.prediction.stream.Source``.
        """
        sample = source.sample
        masks = "" if sample.masks is None else digest_of_files([[sample]])
        facts = self._facts, state_of(sample.image), source.shape, masks
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def parts(self, source):
        """The parts of a scene, once it was begun always the same ones.

        Returns:
            List of pairs of rows, of ``row_parts``; one part: it is not
            divided.
        """
        rows = int(source.tiling.shape[0]) if source.tiling else 0
        if not source.streams or pixels_of(source) <= self.most_pixels:
            return [(0, rows)]
        path = self.stage(source) / _PARTS
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        share = self.most_pixels / pixels_of(source)
        parts = row_parts(source.tiling, rows * share)
        write_text(path, json.dumps(parts))
        return parts


def pixels_of(source):
    """Pixels of a ``Source``; 1 where nobody knows its size."""
    return int(np.prod(source.shape or 1))


@dataclass(frozen=True)
class Unit:
    """A piece of work that this process has taken.

    Attributes:
        source: the scene.
        lease: ``unet.files.leases.Lease``.
        part: rows, of ``unet.prediction.scenes.row_parts``; None: all that is
            left to do.
    """

    source: Source
    lease: Lease
    part: tuple[int, int] | None = None


def part_name(part):
    """What a part is called where it is leased, and its file until it is
    whole."""
    return f"rows_{part[0]}"


def part_file(stage, part):
    """The file of a finished part."""
    return stage / f"{part_name(part)}.done"


@dataclass
class WorkList:
    """The scenes of a job, and which of them are finished.

    Args:
        job: ``Job``.
        sources: list of ``Source``.

    Attributes:
        records: dict from a scene's name to its record, see
            ``unet.prediction.units``; of failed ones too.
    """

    job: Job
    sources: list[Source]
    records: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self):
        self._left = sorted(self.sources, key=pixels_of, reverse=True)
        self._stale = set()
        self.refresh()

    @property
    def is_done(self):
        """Whether each scene is finished, or has failed."""
        return not self._left

    def refresh(self):
        """Look at what other processes have finished."""
        there = set()
        with suppress(FileNotFoundError):  # nobody has begun
            there = {entry.name for entry in os.scandir(self.job.place)}
        left = []
        for source in self._left:
            if f"{source.name}{_RECORD}" in there and self._read(source):
                continue
            left.append(source)
        self._left = left

    def _read(self, source):
        """Whether a scene has a record that is true; it is kept then."""
        path = self.job.record_path(source.name)
        try:
            state = state_of(path)
            if (path, state) in self._stale:
                return False
            record = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False  # it has failed, and is tried again
        files = [self.job.out / name for name in record["files"]]
        if record["digest"] != self.job.digest(source) or not all(
            file.exists() for file in files
        ):
            self._stale.add((path, state))
            return False
        self.records[source.name] = record
        return True

    def may_write(self, source, files):
        """Whether nothing but this job's own lies where it would write.

        Args:
            source: the scene.
            files: of its results.
        """
        there = any(file.exists() for file in files)
        # In this order: another process may just finish the scene.
        begun = self.job.stage(source).exists()
        ended = source.name in self.records or self._read(source)
        return not there or begun or ended

    def take(self):
        """The next ``Unit``; None: others hold all that is left."""
        self.refresh()
        leases = Leases(self.job.place)
        for source in self._left:
            unit = None
            with suppress(FileNotFoundError):  # it was just finished
                unit = self._take(source, leases)
            if unit is None:
                continue
            # Between a look and a lease another may have finished it.
            stage = self.job.stage(source)
            ended = unit.part and (
                part_file(stage, unit.part).exists() or not stage.exists()
            )
            if not ended and not self._read(source):
                return unit
            unit.lease.release()
        return None

    def _take(self, source, leases):
        parts = self.job.parts(source)
        if len(parts) > 1:
            stage = self.job.stage(source)
            stage.mkdir(exist_ok=True)
            own = Leases(stage)
            missing = [p for p in parts if not part_file(stage, p).exists()]
            for part in missing:
                lease = own.take(part_name(part))
                if lease:
                    return Unit(source, lease, tuple(part))
            if missing:
                return None
        lease = leases.take(source.name)
        return lease and Unit(source, lease)

    def pixels_done(self):
        """Pixels of all scenes that are predicted, those in work too."""
        names = self.records.keys()
        done = sum(pixels_of(s) for s in self.sources if s.name in names)
        leases = Leases(self.job.place)
        for source in self._left:
            holder = leases.holder(source.name)
            if holder:
                done += holder.get("pixels", 0)
                continue
            stage = self.job.stage(source)
            if (stage / _PARTS).exists():
                done += self._of_parts(source, stage)
        return min(done, self.pixels)

    def _of_parts(self, source, stage):
        """Pixels that are predicted of a divided scene."""
        leases, done = Leases(stage), 0
        parts = self.job.parts(source)
        for part in parts:
            if part_file(stage, part).exists():
                rows = part[1] - part[0]
                done += pixels_of(source) * rows / parts[-1][1]
            else:
                holder = leases.holder(part_name(part)) or {}
                done += holder.get("pixels", 0)
        return done

    @property
    def pixels(self):
        """Of all scenes."""
        return sum(map(pixels_of, self.sources))


def absolute(job, sources):
    """The same for processes that run elsewhere: no path is relative.

    Returns:
        (``Job``, list of ``Source``).
    """
    truth = job.wanted.truth
    wanted = replace(job.wanted, truth=truth and truth.absolute())
    job = replace(
        job,
        out=job.out.absolute(),
        model=job.model.absolute(),
        wanted=wanted,
    )
    moved = []
    for source in sources:
        sample = source.sample
        masks = sample.masks and {
            name: [path.absolute() for path in paths]
            for name, paths in sample.masks.items()
        }
        sample = replace(
            sample,
            image=sample.image.absolute(),
            masks=masks,
            ignored=tuple(path.absolute() for path in sample.ignored),
        )
        moved.append(replace(source, sample=sample))
    return job, moved
