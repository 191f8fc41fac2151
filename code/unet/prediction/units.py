"""A scene, or a part of one, predicted by one of several processes."""

import json
import shutil
import time
import traceback
from dataclasses import dataclass
from functools import lru_cache

from unet.files.atomic import replacing, write_text
from unet.files.errors import DataError
from unet.files.leases import LostLeaseError
from unet.files.virtual import state_of
from unet.network.export_formats import ENDINGS
from unet.network.exported import Exported
from unet.prediction.jobs import (
    WorkList,
    part_file,
    part_name,
    pixels_of,
)
from unet.prediction.kept import Keeper, keep
from unet.prediction.outputs import Outputs
from unet.prediction.run import Workplace, run
from unet.prediction.scenes import predict_part
from unet.prediction.stream import networks_of, open_scene

# Holders of a scene that may die over it; one more would too.
_DEATHS = 3
_KEPT = ".kept"  # in a stage
_PAUSE = 1  # seconds between two looks at what others hold
_NOT_ITS_FAULT = (KeyboardInterrupt, SystemExit)


@lru_cache(maxsize=1)
def _networks(path, _state):
    """``Networks`` of a model's file, which a process loads once."""
    if path.suffix.lower() in ENDINGS:
        return networks_of(Exported(path))
    from unet.network import model  # imports Keras, which is slow

    return networks_of(model.load(path))


def work(job, sources, wait=True):
    """Predict scenes until none is left, beside other processes.

    Args:
        job: ``unet.prediction.jobs.Job``.
        sources: list of ``unet.prediction.stream.Source``, the same ones in
            each process.
        wait: until others are done too: one may die, and leave its scene.
    """
    scenes = WorkList(job, sources)
    while not scenes.is_done:
        unit = scenes.take()
        if unit is not None:
            perform(job, unit, _networks(job.model, state_of(job.model)))
        elif wait:
            time.sleep(_PAUSE)
        else:
            return


def perform(job, unit, networks):
    """Do a piece of work, and give its lease back.

    What goes wrong is said in the scene's record.

    Args:
        job: ``Job``.
        unit: ``unet.prediction.jobs.Unit``.
        networks: ``unet.prediction.stream.Networks``.
    """
    source = unit.source
    try:
        if unit.lease.deaths >= _DEATHS:
            raise DataError(
                f"{source.sample.image}: {unit.lease.deaths} workers were "
                "killed while they predicted it, perhaps for want of memory. "
                "Start fewer of them."
            )
        if unit.part:
            _predict_part(job, unit, networks)
        else:
            _Scene(job, unit).predict(networks)
    except LostLeaseError:
        pass  # the other process says what becomes of it
    except _NOT_ITS_FAULT:
        raise
    except Exception as error:
        _record(job, source, {"files": [], "failed": _reason(source, error)})
    finally:
        unit.lease.release()


def _reason(source, error):
    """Why a scene has failed: one sentence that names its file."""
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{source.sample.image}: memory is too small. Start fewer."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or source.sample.image}: {error.strerror}."
    # An error of ours, which deserves its traceback.
    traceback.print_exc()
    return f"{source.sample.image}: {type(error).__name__}: {error}"


def _record(job, source, facts):
    """Say that a scene is finished, or has failed.

    Args:
        facts: dict. ``files``: names of the results in the output directory.
            ``failed``: why there are none, if so. ``pixels``, ``seconds``,
            and more: of a finished one, see ``unet.prediction.kept.keep``.
    """
    facts = {"digest": job.digest(source), "failed": None, **facts}
    write_text(job.record_path(source.name), json.dumps(facts) + "\n")


def _predict_part(job, unit, networks):
    """Write the probabilities of a part of a scene."""
    source, stage = unit.source, job.stage(unit.source)
    path = stage / part_name(unit.part)
    if unit.lease.deaths:
        _make_own(path)
    share = pixels_of(source) / source.tiling.shape[0]
    network = networks.any_size
    with open_scene(source, job.settings.bands) as scene:
        for rows in predict_part(
            network, scene, source.tiling, job.settings, unit.part, path
        ):
            unit.lease.tell(pixels=rows * share)
    path.replace(part_file(stage, unit.part))


def _make_own(path):
    """Copy a file, lest a process that was taken for dead writes to it."""
    if path.exists():
        with replacing(path) as own:
            shutil.copyfile(path, own)


@dataclass
class _Scene:
    """A scene whose parts, if it is divided, are predicted."""

    job: object
    unit: object

    def predict(self, networks):
        """Predict it into its stage; then all its files get their names."""
        job, source = self.job, self.unit.source
        stage, begun = job.stage(source), time.monotonic()
        stage.mkdir(exist_ok=True)
        record = stage / ".record.json"  # it is whole: only names are missing
        if not record.exists():
            facts = self._fill(networks, stage)
            facts["seconds"] = round(time.monotonic() - begun, 3)
            self.unit.lease.tell()
            write_text(record, json.dumps(facts))
        facts = json.loads(record.read_text(encoding="utf-8"))
        for name in facts["files"]:
            target = job.out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (stage / name).exists():
                (stage / name).replace(target)
        if (stage / _KEPT).exists():
            shutil.rmtree(job.kept(source.name), ignore_errors=True)
            (stage / _KEPT).rename(job.kept(source.name))
        _record(job, source, facts)
        shutil.rmtree(stage)

    def _fill(self, networks, stage):
        """Write a scene's results; returns what its record says."""
        job, source, lease = self.job, self.unit.source, self.unit.lease
        workplace = Workplace(stage, job.model, job.settings)
        self._join_parts(stage, workplace)
        keeper = Keeper() if job.annotated else None
        outputs = Outputs(stage, [source], job.classes, job.wanted, keeper)
        done = 0

        def watch(source, windows, seconds):
            nonlocal done
            done += windows
            lease.tell(pixels=pixels_of(source) * done / source.windows)

        speed, _ = run(
            networks, [source], job.settings, outputs, workplace, watch
        )
        kept = keep(outputs, job.shown, stage / _KEPT)
        names = outputs.names_of(source)
        return {"files": names, "pixels": speed.pixels, **kept}

    def _join_parts(self, stage, workplace):
        """Put the probabilities of parts where a single process has them."""
        source = self.unit.source
        parts = self.job.parts(source)
        if not source.streams:
            return
        path = workplace.directory(source) / "probabilities"
        if len(parts) == 1:
            if self.unit.lease.deaths:
                _make_own(path)
            return
        with replacing(path) as joined, joined.open("wb") as file:
            for part in parts:
                with part_file(stage, part).open("rb") as there:
                    shutil.copyfileobj(there, file, 2**24)
