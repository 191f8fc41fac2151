"""Scenes as tasks of dask.distributed, on one machine or a cluster."""

import threading
import time
from contextlib import contextmanager, suppress
from itertools import chain

from unet.files.cores import one_thread, usable_cores, use_one_core
from unet.files.errors import DataError
from unet.prediction.jobs import absolute, pixels_of
from unet.prediction.units import work

LOCAL = "local"
_ANSWER = 10  # seconds that a scheduler has to answer
_PAUSE = 2  # seconds before a scene is given out again
_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def dask_client(address, processes=None):
    """A client of a scheduler.

    Args:
        address: of the scheduler, such as ``tcp://host:8786``; ``LOCAL``:
            start one with workers on this machine.
        processes: number of these; None: one a core.

    Raises:
        DataError: Dask is not installed, or no scheduler answers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise DataError(
            "the packages dask and distributed are not installed. Install "
            "them: pip install -r code/test/requirements-dask.txt"
        ) from None
    if address == LOCAL:
        environment = {"distributed.nanny.pre-spawn-environ": one_thread()}
        with (
            dask.config.set(environment),
            LocalCluster(
                n_workers=processes or usable_cores(),
                threads_per_worker=1,
                dashboard_address=None,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(address, timeout=_ANSWER)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{address}: expected a Dask scheduler that answers within "
            f"{_ANSWER} s, found none ({reason[:200].rstrip('.')}). Start one: "
            "dask scheduler"
        ) from None
    with client:
        yield client


def workers_of(client):
    """How many workers a scheduler has now; they may come and go."""
    return len(client.scheduler_info(n_workers=-1)["workers"])


class Tasks:
    """The scenes of a job as tasks; one that a worker lost is given again.

    Args:
        client: of ``dask_client``.
        scenes: ``unet.prediction.jobs.WorkList``.
    """

    def __init__(self, client, scenes):
        self._client, self._scenes = client, scenes
        # Workers have directories of their own.
        self._job, sources = absolute(scenes.job, scenes.sources)
        left = [s for s in sources if s.name not in scenes.records]
        left.sort(key=pixels_of, reverse=True)
        self._futures, self._again = {}, {}
        self._sources = {source.name: source for source in left}
        for source in left:
            self._submit(source)

    def _submit(self, source):
        self._futures[source.name] = [
            self._client.submit(_task, self._job, source, pure=False)
            for _ in self._job.parts(source)
        ]

    def look_after(self):
        """Give scenes out again that came to no end.

        Raises:
            DataError: the workers cannot run the tasks.
        """
        from distributed import KilledWorker

        for name, futures in list(self._futures.items()):
            if name in self._scenes.records:
                del self._futures[name]
                continue
            if not all(future.done() for future in futures):
                continue
            for future in futures:
                error = future.exception()
                if error and not isinstance(error, KilledWorker):
                    raise DataError(
                        "a Dask worker cannot predict: "
                        f"{type(error).__name__}: {error}. It needs the "
                        "same packages, images, model and output directory."
                    )
            now = time.monotonic()
            if now > self._again.setdefault(name, now + _PAUSE):
                del self._again[name]
                self._submit(self._sources[name])

    def cancel(self):
        """Take back what nobody has begun."""
        with suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(chain(*self._futures.values())))


def _task(job, source):
    """Predict one scene in a worker, or a part that is left of it."""
    # Threads of one worker share the network, which computes with one.
    with _ONE_AT_A_TIME:
        import cv2

        use_one_core()
        cv2.setNumThreads(1)
        work(job, [source], wait=False)
