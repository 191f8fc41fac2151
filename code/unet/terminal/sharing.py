"""--workers: many scenes by several processes, here and elsewhere."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

from unet.files.cores import one_thread, use_one_core
from unet.files.errors import DataError
from unet.files.locks import lock
from unet.prediction.jobs import WorkList, pixels_of
from unet.prediction.merging import merge, refuse_existing
from unet.prediction.with_dask import Tasks, dask_client, workers_of
from unet.terminal import cli, interruption

_LOOK = 0.5  # seconds between two looks at the workers
_LEAVE = 20  # seconds that a worker has to leave
# Workers that may be killed, for each, before one of them ends a scene.
_KILLED = 4


@dataclass(frozen=True)
class SharedSpeed:
    """How fast scenes were predicted, by all processes together.

    Attributes:
        pixels: of the scenes that were finished meanwhile.
        seconds: all in all.
        before: number of scenes that were finished before.
    """

    pixels: int
    seconds: float
    before: int

    def lines(self):
        """The speed in words: list of lines."""
        lines = []
        if self.before:
            lines.append(f"{self.before} scenes were finished before")
        if self.pixels:
            millions = self.pixels / 1e6
            speed = millions / self.seconds
            lines.append(
                f"{millions:.1f} million pixels in {self.seconds:.1f} s, "
                f"{speed:.2f} million a second"
            )
        return lines


@dataclass(frozen=True)
class Engine:
    """Which processes predict.

    Attributes:
        workers: number of processes on this machine; None: as the other says.
        dask: of ``unet.prediction.with_dask.dask_client``; None: no Dask.
    """

    workers: int | None = None
    dask: str | None = None

    @contextmanager
    def client(self):
        """The client of Dask's scheduler, or None."""
        if self.dask is None:
            yield None
            return
        with dask_client(self.dask, self.workers) as client:
            yield client


def predict_shared(job, outputs, facts, engine, overwrite, quiet):
    """Predict scenes in several processes, and join what they make.

    Args:
        job: ``unet.prediction.jobs.Job``.
        outputs: ``unet.prediction.outputs.Outputs`` of all scenes.
        facts: dict of what ``scores.json`` says of the run.
        engine: ``Engine``.
        overwrite: replace results of other settings.
        quiet: show no bar.

    Returns:
        (``unet.prediction.merging.Merged``, ``SharedSpeed``).

    Raises:
        DataError: results exist that may not be replaced, or the processes
            end before the work is done.
    """
    scenes = WorkList(job, outputs.sources)
    refuse_existing(scenes, outputs, overwrite)
    before, begun = set(scenes.records), time.monotonic()
    if not scenes.is_done:
        _predict(scenes, engine, quiet)
    new = [s for s in outputs.sources if s.name not in before]
    pixels = sum(
        pixels_of(s) for s in new if not scenes.records[s.name]["failed"]
    )
    speed = SharedSpeed(pixels, time.monotonic() - begun, len(before))
    # One process joins the results; others of the same command wait for it.
    with (job.place / "merge.lock").open("a") as file:
        lock(file)
        return merge(job, outputs, scenes.records, facts), speed


def _predict(scenes, engine, quiet):
    """Predict what is left of a ``WorkList``, whoever does it."""
    with engine.client() as client:
        processes = workers_of(client) if client else engine.workers
        scenes.job = scenes.job.divided(scenes.sources, processes)
        scenes.job.place.mkdir(parents=True, exist_ok=True)
        with PixelBar(scenes, quiet) as bar:
            if client:
                _predict_with_dask(scenes, client, bar)
            else:
                _predict_in_workers(scenes, processes, bar)


def _predict_in_workers(scenes, count, bar):
    with Workers(scenes.job, scenes.sources, count) as workers:
        while not scenes.is_done:
            time.sleep(_LOOK)
            scenes.refresh()
            bar.update()
            workers.look_after(len(scenes.records))


def _predict_with_dask(scenes, client, bar):
    tasks = Tasks(client, scenes)
    try:
        while not scenes.is_done:
            time.sleep(_LOOK)
            scenes.refresh()
            bar.update()
            tasks.look_after()
    finally:
        tasks.cancel()


class PixelBar:
    """A bar over the pixels of all scenes, whoever predicts them.

    Args:
        work_list: ``unet.prediction.jobs.WorkList``.
        quiet: show nothing.
    """

    def __init__(self, work_list, quiet):
        from tqdm import tqdm  # slow to import

        self._list = work_list
        self._bar = tqdm(
            total=work_list.pixels,
            initial=int(work_list.pixels_done()),
            desc=f"{len(work_list.sources)} scenes",
            unit=" pixels",
            unit_scale=True,
            smoothing=0,
            disable=True if quiet else None,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def update(self):
        """Show what is done by now."""
        if self._bar.disable:
            return  # nobody looks
        # A scene that is begun anew after a death has less than before.
        done = max(self._bar.n, int(self._list.pixels_done()))
        self._bar.set_postfix_str(f"{len(self._list.records)} done", False)
        self._bar.update(done - self._bar.n)


class Workers:
    """Processes that predict scenes; one that is killed is replaced.

    Args:
        job, sources: see ``unet.prediction.units.work``.
        count: number of processes.
    """

    def __init__(self, job, sources, count):
        self._task, self._count = (job, sources), count
        self._processes = []
        self._killed = self._finished = 0

    def __enter__(self):
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(self, kind, *_):
        if kind:
            for process in self._processes:
                process.terminate()
        end = time.monotonic() + _LEAVE
        for process in self._processes:
            process.join(max(0, end - time.monotonic()) if kind else None)
            if process.is_alive():
                process.kill()

    def _start(self):
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_worker, args=self._task)
        with _inherited():
            process.start()
        self._processes.append(process)

    def look_after(self, finished):
        """Replace processes that were killed.

        Args:
            finished: how many scenes are.

        Raises:
            DataError: none is left, or all are killed before a scene ends.
        """
        if finished > self._finished:
            self._killed, self._finished = 0, finished
        for process in list(self._processes):
            if process.exitcode is not None and process.exitcode < 0:
                self._processes.remove(process)
                self._killed += 1
                self._refuse_endless()
                self._start()
        if all(process.exitcode for process in self._processes):
            raise DataError(
                f"{self._task[0].out}: all workers have ended with an error "
                "before the last scene. The lines above say which."
            )

    def _refuse_endless(self):
        if self._killed > _KILLED * self._count:
            raise DataError(
                f"{self._task[0].out}: {self._killed} workers were killed "
                "one after the other, perhaps for want of memory. Start fewer "
                "of them; the same command goes on."
            )


@contextmanager
def _inherited():
    """Let a process that starts have one thread, and leave Ctrl-C to us."""
    before = dict(os.environ)
    handler = signal.getsignal(signal.SIGINT)
    try:
        os.environ.update(one_thread())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        os.environ.clear()
        os.environ.update(before)


def _worker(job, sources):
    """What a process does: predict until nothing is left."""
    interruption.heed()
    use_one_core()
    import cv2

    from unet.prediction.units import work

    cv2.setNumThreads(1)
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    try:
        work(job, sources)
    except KeyboardInterrupt:
        raise SystemExit(143) from None
    except Exception as error:
        line = cli.explain(error)
        if line is None:
            raise
        print(f"worker {os.getpid()}: {line}", file=sys.stderr)
        raise SystemExit(2) from None
    # Python would take seconds to take TensorFlow apart, for nothing.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_with(parent):
    """End when the process that started this one was killed."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
