"""A whole run: from sources to files, resumed where one was interrupted."""

import glob
import hashlib
import shutil
import time
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

import numpy as np

from unet.files.errors import DataError
from unet.files.virtual import state_of
from unet.prediction.stream import predict


class Workplace:
    """Keeps what is finished of streamed scenes until all of them are.

    What an interrupted prediction has finished lies in hidden directories
    beside the results, named after scenes and settings; another one with the
    same settings goes on there. The results get their names at the end.

    Args:
        out: directory of the results.
        model: the model's file.
        settings: ``unet.prediction.strip.Settings``.
        also: what else the predictions depend on.
    """

    def __init__(self, out, model, settings, also=()):
        self._out, self._settings = Path(out), settings
        self._digest = hashlib.sha256(Path(model).read_bytes()).hexdigest()
        self._also = tuple(also)

    def directory(self, source):
        """Where the files of a source are written first; made if absent."""
        if not source.streams:
            return self._out
        state, settings = state_of(source.sample.image), self._settings
        facts = (
            *(self._digest, *state),
            *(source.tiling.shape, source.tiling.size, settings.overlap),
            *(settings.flips, settings.bands, *self._also),
        )
        digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
        directory = self._out / f".{source.name}.{digest}"
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def discard(self, source):
        """Remove what is finished of a source: there is nothing to resume."""
        if source.streams:
            shutil.rmtree(self.directory(source))

    def finish(self, sources):
        """Give all results their names, and remove all else."""
        for source in sources:
            if not source.streams:
                continue
            directory = self.directory(source)
            for path in sorted(directory.rglob("[!.]*")):
                # Killed here, it goes on: the probabilities stay to the last.
                if path.is_file() and path.name != "probabilities":
                    target = self._out / path.relative_to(directory)
                    target.parent.mkdir(exist_ok=True)
                    path.replace(target)
            # Of other settings too.
            pattern = f".{glob.escape(source.name)}.{'[0-9a-f]' * 12}"
            for left in self._out.glob(pattern):
                shutil.rmtree(left)


class Speed:
    """How fast scenes are predicted.

    Attributes:
        seconds: all in all.
        inside: seconds of these in the network.
        pixels: predicted, of the scenes' own.
        resumed: whether an earlier call had finished some of it.
    """

    def __init__(self):
        self.seconds = self.inside = 0.0
        self.pixels, self.resumed = 0, False

    def count(self, windows, seconds):
        """Count windows that were finished in seconds of the network."""
        self.resumed |= windows > 0 and not seconds
        self.inside += seconds

    def lines(self):
        """The speed in words: a list of one line, or of none."""
        if not self.pixels:
            return []
        millions = f"{self.pixels / 1e6:.1f} million pixels of scenes, "
        if self.resumed:
            return [millions + "some of them in an earlier call"]
        speed = self.pixels / self.seconds
        return [
            f"{millions}{speed / 1e6:.2f} million a second; "
            f"{self.inside / self.seconds:.0%} of the time in the network"
        ]


def run(model, sources, settings, outputs, workplace, watch):
    """Predict sources into the files of their sinks.

    Args:
        model: of ``unet.network.model``, or an ``Exported`` one.
        sources: list of ``unet.prediction.stream.Source``.
        settings: ``unet.prediction.strip.Settings``.
        outputs: ``unet.prediction.outputs.Outputs``.
        workplace: ``Workplace``.
        watch: function, see ``unet.prediction.stream.predict``.

    Returns:
        (``Speed``, list of sentences: of which images nothing stays because
        they are damaged, or their truth).

    Raises:
        DataError: all are.
    """
    speed, refused = Speed(), []

    def both(source, windows, seconds):
        if not source.is_photo:
            speed.count(windows, seconds)
        watch(source, windows, seconds)

    stream = predict(model, sources, settings, workplace.directory, both)
    begun = time.monotonic()
    finished = []
    for _, pairs in groupby(stream, key=lambda pair: pair[0].name):
        source, error = _filled(pairs, outputs, workplace)
        now = time.monotonic()
        passed, begun = now - begun, now
        if error:
            workplace.discard(source)  # nothing to go on with
            refused.append(str(error))
            continue
        finished.append(source)
        if not source.is_photo:
            speed.seconds += passed
            speed.pixels += int(np.prod(source.shape))
    if not finished:
        raise DataError(refused[0])
    workplace.finish(finished)
    return speed, refused


def _filled(pairs, outputs, workplace):
    """Fill the sinks of one source.

    Returns:
        (the source, the ``DataError`` of its image or its truth or None).
    """
    sinks = None
    try:
        with ExitStack() as stack:
            for source, strip in pairs:
                if isinstance(strip, DataError):
                    raise strip
                if sinks is None:  # for an image without strips there are none
                    sinks = _opened(source, outputs, workplace, stack)
                for sink in sinks:
                    sink.add(strip)
                # While the next one is made nobody needs its memory.
                del strip
    except DataError as error:
        return source, error
    outputs.notes += [note for sink in sinks for note in sink.notes()]
    return source, None


def _opened(source, outputs, workplace, stack):
    """The sinks of a source, until a stack is left."""
    directory = workplace.directory(source)
    return [
        stack.enter_context(sink.opened(source, directory))
        for sink in outputs.sinks(source)
    ]
