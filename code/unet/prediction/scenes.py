"""Scenes larger than the network's input, predicted by overlapping windows.

A scene is reduced to the ground scale of the training images, seen through
windows of the network's size, and the windows' probabilities are blended and
enlarged to the scene's own size, all of it by blocks of rows: the memory needed
grows with a scene's width, not with its height. The result is the one of doing
it with the whole scene at once, number by number.
"""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np

from unet.files.cores import usable_cores
from unet.imagery.contrast import enhance
from unet.imagery.rasters import ROWS
from unet.imagery.resampling import Reduced, Rows, wider
from unet.prediction.photos import probabilities_of, probabilities_of_images
from unet.prediction.strip import new_strip

# Pixels that the network sees at once: they keep it busy, and change no result.
_BATCH_PIXELS = 16 * 128 * 128
# Windows that it sees at once at least: oneDNN gives each core images of its
# own, and is slow with a single one (``probabilities_of``).
_FEWEST, _TOGETHER = 2, 4
# Rows of probabilities that are handed over at once: others keep them.
_AT_ONCE = 64
# Rows of windows on their way to the network or back: one is computed while
# the rows of another are used, and the next one is read.
_AHEAD = 2


class Windows:
    """The windows of some rows of a tiling, and what the network makes."""

    def __init__(self, scene, tiling, settings):
        self.tiling, self.settings = tiling, settings
        self.reduced = Reduced(scene, tiling.shape)
        height, width = tiling.size
        fewest = max(_FEWEST, min(usable_cores(), _TOGETHER))
        self.most = max(fewest, _BATCH_PIXELS // (height * width))

    def read(self, starts):
        """The windows of rows of windows that start there.

        Returns:
            (windows, places): uint8 or uint16, n x h x w x bands, and n pairs
            of row and column; windows without a known pixel are left out.
        """
        rows, columns = self.tiling.rows, self.tiling.columns
        height, width = self.tiling.size
        top, bottom = starts[0], starts[-1] + height
        wanted = rows.index[top:bottom]
        # The lower border reflects rows further up.
        low = rows.index[top:].min()
        following = rows.index[starts[-1] + rows.step :]
        image, known = self.reduced.read(
            low, wanted.max() + 1, following.min(initial=len(rows.index))
        )
        image = np.take(image, columns.index, axis=1)
        known = np.take(known, columns.index, axis=1)
        if len(image) < len(wanted):  # a border reflects its rows
            image, known = image[wanted - low], known[wanted - low]
        windows, places = [], []
        for row in starts - top:
            for column in columns.starts:
                at = np.s_[row : row + height, column : column + width]
                # One more: enlarging mixes neighbours.
                around = np.s_[
                    max(0, row - 1) : row + height + 1,
                    max(0, column - 1) : column + width + 1,
                ]
                if known[around].any():
                    window = filled(image[at], known[at])
                    windows.append(enhance(window, self.settings.contrast))
                    places.append((row, column))
        return windows, places

    def predicted(self, model, reading):
        """Probabilities of windows.

        Args:
            model: of ``unet.network.model``.
            reading: future of ``read``.

        Returns:
            (probabilities, places, seconds): list of float32, h x w x
            channels, and the time inside the network.
        """
        windows, places = reading.result()
        start = time.monotonic()
        probabilities, flips = [], self.settings.flips
        for part in np.array_split(
            np.arange(len(windows)), -(-len(windows) // self.most) or 1
        ):
            if len(part):
                batch = np.stack([windows[k] for k in part])
                probabilities += list(probabilities_of(model, batch, flips))
        return probabilities, places, time.monotonic() - start


def filled(window, known):
    """A window whose unknown pixels have the mean of the known ones.

    Args:
        window: uint8 or uint16, h x w x bands.
        known: bool, h x w.
    """
    if known.all():
        return window
    window = window.copy()
    window[~known] = window[known].mean(axis=0) if known.any() else 0
    return window


def _predicted_rows(model, scene, tiling, settings, first, watch, stop=None):
    """Rows of blended probabilities of the reduced scene.

    Args:
        first: the first row wanted; those above are not predicted.
        watch: see ``strips``.
        stop: the first row behind, where a part of ``row_parts`` ends; None:
            to the last.

    Yields:
        float32, h x W' x channels, from row ``first`` on without a gap.
    """
    rows, columns = tiling.rows, tiling.columns
    height = tiling.size[0]
    starts, step = rows.starts, tiling.together
    # The first row of windows that reaches below the finished rows.
    begin = int(np.argmax(starts + height > first + rows.margin))
    begin = begin // step * step
    stop = tiling.shape[0] if stop is None else stop
    count = int(np.searchsorted(starts, stop + rows.margin))
    groups = [starts[k : k + step] for k in range(begin, count, step)]
    if watch and begin:
        watch(begin * len(columns.starts), 0.0)
    channels = model.output_shape[-1]
    top = groups[0][0]
    depth = (step - 1) * rows.step + height
    sums = np.zeros((depth, len(columns.index), channels), np.float32)
    weight = (rows.weight[:, None] * columns.weight)[..., None]
    windows = Windows(scene, tiling, settings)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as network:
        waiting, pending = deque(groups), deque()
        try:
            while waiting or pending:
                while waiting and len(pending) < _AHEAD:
                    group = waiting.popleft()
                    answer = network.submit(
                        windows.predicted,
                        model,
                        reader.submit(windows.read, group),
                    )
                    pending.append((group, answer))
                group, answer = pending.popleft()
                seconds = _blend(sums, weight, *answer.result())
                # What others do with the rows needs the memory.
                del answer
                if watch:
                    watch(len(group) * len(columns.starts), seconds)
                last = group[-1] == starts[-1]
                end = top + (depth if last else len(group) * rows.step)
                low = max(top, rows.margin + first)
                high = min(end, rows.margin + stop)
                inside = slice(columns.margin, columns.margin + tiling.shape[1])
                for begin in range(low, high, _AT_ONCE):
                    part = slice(begin, min(begin + _AT_ONCE, high))
                    yield sums[part.start - top : part.stop - top, inside] / (
                        rows.total[part, None, None]
                        * columns.total[inside, None]
                    )
                sums[: top - end] = sums[end - top :]
                sums[top - end :] = 0
                top = end
        finally:
            for pool in (reader, network):
                pool.shutdown(wait=False, cancel_futures=True)


def _blend(sums, weight, probabilities, places, seconds):
    """Add windows to the sums, as ``Windows.predicted`` returns them."""
    height, width = weight.shape[:2]
    for probability, (row, column) in zip(probabilities, places, strict=True):
        part = sums[row : row + height, column : column + width]
        part += probability * weight
    return seconds


class Finished:
    """Rows of a scene that are predicted, in a file.

    A prediction that was interrupted goes on below them.
    """

    def __init__(self, path, width, channels):
        """Open the file, or begin it.

        Args:
            path: the file.
            width, channels: of a row of float32.
        """
        self._shape = (-1, width, channels)
        self._bytes = 4 * width * channels
        self._path = Path(path)
        self._path.touch()
        # A row that was cut is predicted again.
        self.rows = self._path.stat().st_size // self._bytes
        with self._path.open("r+b") as file:
            file.truncate(self.rows * self._bytes)

    def read(self, step):
        """Yield what is there, so many rows at a time."""
        with self._path.open("rb") as file:
            for top in range(0, self.rows, step):
                count = min(step, self.rows - top)
                data = file.read(count * self._bytes)
                yield np.frombuffer(data, np.float32).reshape(self._shape)

    def keep(self, blocks):
        """Write blocks of rows, and pass them on."""
        with self._path.open("ab") as file:
            for rows in blocks:
                file.write(np.ascontiguousarray(rows))
                file.flush()
                passed = [rows]
                del rows  # it is large, and nobody else keeps it
                yield passed.pop()


def row_parts(tiling, most):
    """Divide the rows of a reduced scene into parts to be predicted apart.

    Parts end where windows that are predicted together do.

    Args:
        tiling: ``Tiling`` that has windows.
        most: rows of a part, if it can have so few.

    Returns:
        List of pairs: the first row, and the first one behind.
    """
    rows, height = tiling.rows, tiling.shape[0]
    ends = rows.starts[:: tiling.together][1:] - rows.margin
    parts, low = [], 0
    for end, following in pairwise([*ends, height]):
        if low < end < height and following - low > most:
            parts.append((low, int(end)))
            low = int(end)
    return [*parts, (low, height)]


def predict_part(model, scene, tiling, settings, part, path):
    """Write probabilities of some rows of a reduced scene to a file.

    They are those of ``strips``, number by number. What another call has
    begun of the file it ends.

    Args:
        model, scene, tiling, settings: as of ``strips``.
        part: of ``row_parts``.
        path: the file.

    Yields:
        The number of rows that are in the file.

    Raises:
        DataError: the scene is damaged.
    """
    low, high = part
    channels = model.output_shape[-1]
    finished = Finished(path, tiling.shape[1], channels)
    done = finished.rows
    if done < high - low:
        made = _predicted_rows(
            model, scene, tiling, settings, low + done, None, high
        )
        for rows in finished.keep(made):
            done += len(rows)
            yield done


def strips(model, scene, tiling, settings, work=None, watch=None):
    """Predict a scene from the top to the bottom.

    Reading, the network and what is done with the strips run at the same
    time.

    Args:
        model: of ``unet.network.model``.
        scene: ``unet.imagery.rasters.Scene``.
        tiling: ``Tiling`` of it.
        settings: ``Settings``.
        work: file in which the probabilities are kept, so that another call
            with the same arguments goes on where this one was interrupted; it
            yields the same strips, all of them. None: nothing is kept.
        watch: called with the number of tiles that were just finished, and
            the seconds they took in the network.

    Yields:
        ``Strip`` of ``unet.imagery.rasters.ROWS`` rows, the last one of fewer.

    Raises:
        DataError: the scene is damaged.
    """
    if tiling.fits:
        yield from _seen_whole(model, scene, settings, watch)
        return
    channels = model.output_shape[-1]
    blocks, first, finished = [], 0, None
    if work is not None:
        finished = Finished(work, tiling.shape[1], channels)
        first = finished.rows
    made = iter(())
    if first < tiling.shape[0]:
        made = _predicted_rows(model, scene, tiling, settings, first, watch)
    elif watch:
        watch(tiling.tiles, 0.0)
    if finished:
        step = max(1, ROWS * tiling.shape[0] // scene.shape[0])
        blocks = finished.read(step)
        made = finished.keep(made)
    yield from _enlarged(scene, tiling, _chained(blocks, made), settings)


def _chained(*sources):
    """All items of several iterables; generators are closed in time."""
    for source in sources:
        yield from source


def _seen_whole(model, scene, settings, watch):
    """The strips of a scene that fits into the network's input."""
    height = scene.shape[0]
    image, known = scene.read(0, height)
    start = time.monotonic()
    seen = [filled(image, known)]
    (probability,) = probabilities_of_images(model, seen, settings)
    if watch:
        watch(1, time.monotonic() - start)
    for top in range(0, height, ROWS):
        part = slice(top, top + ROWS)
        yield new_strip(
            top, image[part], known[part], probability[part], settings
        )


def _enlarged(scene, tiling, blocks, settings):
    """Strips from rows of probabilities of the reduced scene."""
    height, width = scene.shape
    rows = Rows(tiling.shape[0], height)
    held, first, end = None, 0, 0
    for top in range(0, height, ROWS):
        bottom = min(top + ROWS, height)
        low, high = rows.needed(top, bottom)
        if held is not None:
            held, first = held[low - first :], low
        if end < high:
            # A part of an array would keep all of it.
            parts = [] if held is None else [held.copy()]
            held = None
            while end < high:
                parts.append(next(blocks))
                end += len(parts[-1])
            held = np.concatenate(parts)[low - first :]
            parts, first = None, low
        probability = wider(rows.resized(held, low, top, bottom), width)
        yield new_strip(top, *scene.read(top, bottom), probability, settings)
        del probability
