"""Scenes larger than the network's input, predicted by overlapping windows.

A scene is reduced to the ground scale of the training images, seen through
windows of the network's size, and the windows' probabilities are blended and
enlarged to the scene's own size, all of it by bands of rows: the memory needed
grows with a scene's width, not with its height. The result is the one of doing
it with the whole scene at once, number by number.
"""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse import csr_matrix

from unet.contrast import enhance
from unet.prediction import predict, probabilities_of, to_ids
from unet.rasters import ROWS

# Pixels that the network sees at once, and windows of which bands of narrow
# scenes are made: both keep it busy, and neither changes a result.
_BATCH_PIXELS = 16 * 128 * 128
_WINDOWS = 32
# Bands that are on their way to the network or back.
_AHEAD = 3


@dataclass
class Strip:
    """A band of rows of a predicted scene, over its whole width.

    It has the scene's own size.

    Attributes:
        top: int, its first row.
        image: uint8, h x W x 3.
        ids: uint8, h x W, class ids; 0 where there is no data.
        probability: float32, h x W x 1 (of class 1) or x classes.
        known: bool, h x W, False where the scene has no data.
    """

    top: int
    image: np.ndarray
    ids: np.ndarray
    probability: np.ndarray
    known: np.ndarray


def scales(contract, resolution=None, given=None):
    """How much a scene is reduced before the network sees it.

    Args:
        contract: of the model.
        resolution: metres a pixel of the scene from row to row and from
            column to column, or None.
        given: the user's own factor, or None.

    Returns:
        (factor of the rows, factor of the columns): a given one, else the
        one at which a pixel covers as much ground as in training where both
        are known, else the one by which the training images were reduced;
        None if the model says nothing of it.
    """
    if given is not None:
        return given, given
    trained = contract.get("resolution")
    if resolution and trained:
        return resolution[0] / trained[0], resolution[1] / trained[1]
    factors = contract.get("scales")
    if factors is None and "scale" in contract:
        factors = [contract["scale"]] * 2
    return factors and tuple(factors)


class Tiling:
    """The windows through which the network sees a scene.

    Attributes:
        shape: (H', W') of the scene as the network sees it.
        size: (height, width) of a window.
        fits: whether the whole scene is no larger than one window: it is
            resized to it then, as ever, and there are no windows.
        tiles: their number.
    """

    def __init__(self, shape, factors, size, overlap=0.5):
        """Lay windows.

        Args:
            shape: (H, W) of the scene.
            factors: of ``scales``; None: the scene is seen as a whole.
            size: (height, width) of the network's input.
            overlap: share of a window that the next one covers too, 0 to
                below 1.
        """
        self.size = tuple(size)
        pairs = zip(shape, factors or (0, 0), strict=True)
        self.shape = tuple(max(1, round(n * factor)) for n, factor in pairs)
        self.fits = all(n <= m for n, m in zip(self.shape, size, strict=True))
        axes = [
            _Axis(n, side, overlap)
            for n, side in zip(self.shape, size, strict=True)
        ]
        self.rows, self.columns = axes
        # Rows of windows that are predicted together.
        self.together = max(1, _WINDOWS // len(self.columns.starts))
        self.tiles = len(self.rows.starts) * len(self.columns.starts)
        if self.fits:
            self.tiles = 1


class _Axis:
    """Windows along one side of the reduced scene.

    Attributes:
        starts: where they start in the scene that was continued by
            reflection, ``margin`` pixels before its own first one.
        index: which pixel of the scene lies at each place there.
        weight: of the pixels of a window, before they are added.
        total: sum of the weights at each place.
    """

    def __init__(self, length, side, overlap):
        self.step = max(1, round(side * (1 - overlap)))
        # The first pixel lies in as many windows as any other.
        self.margin = side - self.step
        last = self.margin + length - 1
        self.starts = np.arange(0, last + 1, self.step)
        end = self.starts[-1] + side
        after = end - self.margin - length
        self.index = np.pad(
            np.arange(length), (self.margin, after), mode="reflect"
        )
        # Half overlapping windows of this form add up to one everywhere.
        self.weight = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
        self.weight = self.weight.astype(np.float32)
        self.total = np.zeros(end, np.float32)
        for start in self.starts:
            self.total[start : start + side] += self.weight


def resampling(source, target):
    """The matrix that resizes one side of an image.

    By area where it shrinks, linearly where it grows, as OpenCV does
    (``unet.images.resize_image``). Rows of a result need some rows of the
    source alone, and are the same whichever others are at hand.

    Args:
        source, target: numbers of pixels.

    Returns:
        Sparse float32 matrix, target x source, whose rows sum to 1.
    """
    ratio = source / target
    if target > source:
        place = (np.arange(target) + 0.5) * ratio - 0.5
        place = place.clip(0, source - 1)
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, source - 1)
        weight = np.concatenate([1 - (place - below), place - below])
        row = np.tile(np.arange(target), 2)
        column = np.concatenate([below, above])
    else:
        edges = np.union1d(np.arange(source + 1), np.arange(target) * ratio)
        middle = (edges[1:] + edges[:-1]) / 2
        row = np.minimum(middle // ratio, target - 1).astype(int)
        column = np.minimum(middle, source - 1).astype(int)
        weight = np.diff(edges) / ratio
    shape = (target, source)
    matrix = csr_matrix((weight.astype(np.float32), (row, column)), shape)
    matrix.eliminate_zeros()
    return matrix


class _Rows:
    """Resizes the rows of an array that comes by bands."""

    def __init__(self, source, target):
        self.matrix = resampling(source, target)

    def needed(self, top, bottom):
        """The rows of the source that some rows of the result need."""
        part = self.matrix.indptr[[top, bottom]]
        columns = self.matrix.indices[slice(*part)]
        return int(columns.min()), int(columns.max()) + 1

    def resized(self, array, first, top, bottom):
        """Rows of the result.

        Args:
            array: float32, rows of the source from row ``first`` on.
            top, bottom: the rows wanted.
        """
        low, high = self.needed(top, bottom)
        matrix = self.matrix[top:bottom, low:high]
        flat = array[low - first : high - first].reshape(high - low, -1)
        return (matrix @ flat).reshape(bottom - top, *array.shape[1:])


def _wider(array, width):
    """Resize the columns of a float32 array, h x W x channels."""
    how = cv2.INTER_AREA if width <= array.shape[1] else cv2.INTER_LINEAR
    size = (width, len(array))
    # OpenCV drops a channel axis of length one.
    return cv2.resize(array, size, interpolation=how).reshape(
        len(array), width, -1
    )


class _Reduced:
    """A scene as the network sees it, read from the top to the bottom."""

    def __init__(self, scene, shape):
        self.scene, self.shape = scene, shape
        self.rows = _Rows(scene.shape[0], shape[0])
        self.step = max(1, ROWS * shape[0] // scene.shape[0])
        self.first = self.end = None

    def read(self, top, bottom):
        """Rows, of which none lies above those of the last call.

        Returns:
            (image, known): uint8, h x W' x 3, the mean of the known pixels,
            and bool, h x W': is any of them known?
        """
        if self.first is None:
            self.first = self.end = top
            self.image = np.empty((0, self.shape[1], 3), np.uint8)
            self.known = np.empty((0, self.shape[1]), bool)
        images, knowns = [self.image[top - self.first :]], []
        knowns.append(self.known[top - self.first :])
        while self.end < bottom:
            end = min(self.end + self.step, self.shape[0])
            image, known = self._reduced(self.end, end)
            images.append(image)
            knowns.append(known)
            self.end = end
        self.image, self.known = np.concatenate(images), np.concatenate(knowns)
        self.first = top
        return self.image[: bottom - top], self.known[: bottom - top]

    def _reduced(self, top, bottom):
        low, high = self.rows.needed(top, bottom)
        image, known = self.scene.read(low, high)
        image = image.astype(np.float32)
        if self.scene.masked:
            image *= known[..., None]
        image = self._resized(image, low, top, bottom)
        share = np.ones(image.shape[:2], np.float32)
        if self.scene.masked:
            share = known[..., None].astype(np.float32)
            share = self._resized(share, low, top, bottom)
            image /= np.maximum(share, 1e-6)
            share = share[..., 0]
        return np.rint(image).clip(0, 255).astype(np.uint8), share > 1e-6

    def _resized(self, array, first, top, bottom):
        narrow = _wider(array, self.shape[1])
        return self.rows.resized(narrow, first, top, bottom)


class _Windows:
    """The windows of some rows of a tiling, and what the network makes."""

    def __init__(self, model, scene, tiling, contrast, flips):
        self.model, self.tiling = model, tiling
        self.contrast, self.flips = contrast, flips
        self.reduced = _Reduced(scene, tiling.shape)
        height, width = tiling.size
        self.most = max(1, _BATCH_PIXELS // (height * width))

    def read(self, starts):
        """The windows of rows of windows that start there.

        Returns:
            (windows, places): uint8, n x h x w x 3, and n pairs of row and
            column; windows without a known pixel are left out.
        """
        rows, columns = self.tiling.rows, self.tiling.columns
        height, width = self.tiling.size
        top, bottom = starts[0], starts[-1] + height
        wanted = rows.index[top:bottom]
        # The lower border reflects rows further up.
        low = rows.index[top:].min()
        image, known = self.reduced.read(low, wanted.max() + 1)
        image = image[wanted - low][:, columns.index]
        known = known[wanted - low][:, columns.index]
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
                    window = _filled(image[at], known[at])
                    windows.append(enhance(window, self.contrast))
                    places.append((row, column))
        return windows, places

    def predicted(self, reading):
        """Weighted sums of the probabilities of windows.

        Args:
            reading: future of ``read``.

        Returns:
            (probabilities, places, seconds): list of float32, h x w x
            channels, and the time inside the network.
        """
        windows, places = reading.result()
        start = time.monotonic()
        found = []
        for some in np.array_split(
            np.arange(len(windows)), -(-len(windows) // self.most) or 1
        ):
            if len(some):
                batch = np.stack([windows[k] for k in some])
                found += list(probabilities_of(self.model, batch, self.flips))
        return found, places, time.monotonic() - start


def _filled(window, known):
    """A window whose unknown pixels have the mean of the known ones."""
    if known.all():
        return window
    window = window.copy()
    window[~known] = window[known].mean(axis=0) if known.any() else 0
    return window


def _predicted_rows(model, scene, tiling, contrast, flips, first, watch):
    """Rows of blended probabilities of the reduced scene.

    Args:
        first: the first row wanted; those above are not predicted.
        watch: see ``strips``.

    Yields:
        float32, h x W' x channels, from row ``first`` on without a gap.
    """
    rows, columns = tiling.rows, tiling.columns
    height, width = tiling.size
    starts, step = rows.starts, tiling.together
    # The first row of windows that reaches below the finished rows.
    begin = int(np.argmax(starts + height > first + rows.margin))
    groups = [
        starts[k : k + step]
        for k in range(begin // step * step, len(starts), step)
    ]
    skipped = len(starts) - sum(map(len, groups))
    if watch and skipped:
        watch(skipped * len(columns.starts), 0.0)
    channels = model.output_shape[-1]
    top = groups[0][0]
    depth = (step - 1) * rows.step + height
    sums = np.zeros((depth, len(columns.index), channels), np.float32)
    weight = (rows.weight[:, None] * columns.weight)[..., None]
    windows = _Windows(model, scene, tiling, contrast, flips)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as network:
        waiting, pending = deque(groups), deque()
        try:
            while waiting or pending:
                while waiting and len(pending) < _AHEAD:
                    reading = reader.submit(windows.read, waiting[0])
                    answer = network.submit(windows.predicted, reading)
                    pending.append((waiting.popleft(), answer))
                group, answer = pending.popleft()
                found, places, seconds = answer.result()
                for one, (row, column) in zip(found, places, strict=True):
                    part = sums[row : row + height, column : column + width]
                    part += one * weight
                if watch:
                    watch(len(group) * len(columns.starts), seconds)
                last = not (waiting or pending)
                end = top + (depth if last else len(group) * rows.step)
                low = max(top, rows.margin + first)
                high = min(end, rows.margin + tiling.shape[0])
                if low < high:
                    left = columns.margin
                    inside = slice(left, left + tiling.shape[1])
                    total = rows.total[low:high, None] * columns.total[inside]
                    done = sums[low - top : high - top, inside]
                    yield done / total[..., None]
                sums[: top - end] = sums[end - top :]
                sums[top - end :] = 0
                top = end
        finally:
            for pool in (reader, network):
                pool.shutdown(wait=False, cancel_futures=True)


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

    def keep(self, bands):
        """Write bands of rows, and pass them on."""
        with self._path.open("ab") as file:
            for rows in bands:
                file.write(np.ascontiguousarray(rows))
                file.flush()
                yield rows


def strips(
    model,
    scene,
    tiling,
    threshold,
    contrast="none",
    flips=False,
    work=None,
    watch=None,
):
    """Predict a scene from the top to the bottom.

    Reading, the network and what is done with the strips run at the same
    time.

    Args:
        model: of ``unet.model``.
        scene: ``unet.rasters.Scene``.
        tiling: ``Tiling`` of it.
        threshold: see ``unet.prediction.to_ids``.
        contrast, flips: see ``unet.prediction.predict``.
        work: file in which the probabilities are kept, so that another call
            with the same arguments goes on where this one was interrupted; it
            yields the same strips, all of them. None: nothing is kept.
        watch: called with the number of tiles that were just finished, and
            the seconds they took in the network.

    Yields:
        ``Strip`` of ``unet.rasters.ROWS`` rows, the last one of fewer.

    Raises:
        DataError: the scene is damaged.
    """
    if tiling.fits:
        yield from _seen_whole(model, scene, threshold, contrast, flips, watch)
        return
    channels = model.output_shape[-1]
    bands, first, finished = [], 0, None
    if work is not None:
        finished = Finished(work, tiling.shape[1], channels)
        first = finished.rows
    made = iter(())
    if first < tiling.shape[0]:
        made = _predicted_rows(
            model, scene, tiling, contrast, flips, first, watch
        )
    elif watch:
        watch(tiling.tiles, 0.0)
    if finished:
        step = max(1, ROWS * tiling.shape[0] // scene.shape[0])
        bands = finished.read(step)
        made = finished.keep(made)
    yield from _enlarged(scene, tiling, _chained(bands, made), threshold)


def _chained(*sources):
    """All items of several iterables; generators are closed in time."""
    for source in sources:
        yield from source


def _seen_whole(model, scene, threshold, contrast, flips, watch):
    """The strips of a scene that fits into the network's input."""
    height = scene.shape[0]
    image, known = scene.read(0, height)
    start = time.monotonic()
    (probability,) = predict(model, [_filled(image, known)], contrast, flips)
    if watch:
        watch(1, time.monotonic() - start)
    for top in range(0, height, ROWS):
        part = slice(top, top + ROWS)
        yield _strip(
            top, image[part], known[part], probability[part], threshold
        )


def _enlarged(scene, tiling, bands, threshold):
    """Strips from rows of probabilities of the reduced scene."""
    height, width = scene.shape
    rows = _Rows(tiling.shape[0], height)
    held, first, end = [], 0, 0
    for top in range(0, height, ROWS):
        bottom = min(top + ROWS, height)
        low, high = rows.needed(top, bottom)
        while end < high:
            held.append(next(bands))
            end += len(held[-1])
        array = np.concatenate(held)[low - first :]
        held, first = [array], low
        probability = rows.resized(array, low, top, bottom)
        probability = _wider(probability, width)
        image, known = scene.read(top, bottom)
        yield _strip(top, image, known, probability, threshold)


def _strip(top, image, known, probability, threshold):
    ids = to_ids(probability, threshold)
    ids[~known] = 0
    return Strip(top, image, ids, probability, known)
