"""The objects of a scene that comes in blocks of rows, each one whole.

An object is handed over as soon as no row of it can follow: memory holds the
objects of the current rows.
"""

from dataclasses import dataclass, field

import numpy as np

from unet.files.memory import trim_memory
from unet.geometry.components import Components
from unet.geometry.separation import separate_component, to_levels

# Pixels of the box around a connected component, 4096 x 4096: drawing its
# outline takes a dozen bytes for each of them. Separating it takes three times
# as much, and objects that are separated are small: 2048 x 2048 there.
LARGEST = 2**24
_LESS = 4
# Pixels of a box from which on the arrays that separation needs are large.
_LARGE = 2**20
# Rows that are added at once: of 20,000 columns they take 30 MB meanwhile.
_AT_ONCE = 64


@dataclass(frozen=True)
class Part:
    """An object: a connected component, or what separation made of it.

    Attributes:
        mask: bool, h x w, in its bounding box.
        top, left: of the box in the scene.
        pixels: their number.
        probability: their mean; of an object that was cut off another one
            in steps of 1 / 255.
        values: of its pixels, what was added besides; one array or None.
    """

    mask: np.ndarray
    top: int
    left: int
    pixels: int
    probability: float
    values: np.ndarray | None = None


@dataclass
class Region:
    """What is known of a connected component so far.

    Attributes:
        runs: list of int32 arrays, n x 3: row, first column, end column.
        box: top, left, bottom, right.
        pixels: their number.
        sum: of their probabilities.
        levels: list of uint8 arrays: the probability of each pixel, in the
            order of the runs; empty where nothing is separated.
        edges: likewise, where objects end; empty where that is not known.
        values: likewise, of what was added besides.
    """

    runs: list = field(default_factory=list)
    box: np.ndarray = None
    pixels: int = 0
    sum: float = 0.0
    levels: list = field(default_factory=list)
    edges: list = field(default_factory=list)
    values: list = field(default_factory=list)

    def add(self, other):
        """Add another region that turned out to be the same."""
        for name in ("runs", "levels", "edges", "values"):
            getattr(self, name).extend(getattr(other, name))
        box = other.box
        if self.box is not None:
            low = np.minimum(self.box[:2], box[:2])
            box = np.concatenate([low, np.maximum(self.box[2:], box[2:])])
        self.box = box
        self.pixels += other.pixels
        self.sum += other.sum

    def size(self):
        """Pixels of the box."""
        top, left, bottom, right = self.box.tolist()
        return (bottom - top) * (right - left)

    def parts(self, height, shape):
        """Yield its objects, ``Part``, top to bottom. It is empty then.

        Args:
            height: see ``unet.geometry.separation.separate``; None: the
                region is one. A region that is nowhere as high is none.
            shape: (H, W) of the scene.
        """
        top, left = self.box[:2].tolist()
        mask, levels, edges, values = self._windows()
        whole = Part(
            mask,
            top,
            left,
            self.pixels,
            self.sum / self.pixels,
            None if values is None else values[mask],
        )
        if height is None:
            yield whole
            return
        labels, hills = separate_component(
            mask, levels, height, (top, left), shape, edges
        )
        if hills == 1:
            yield whole
        if hills < 2:
            return
        from scipy import ndimage  # slow to import

        boxes = ndimage.find_objects(labels)
        for number, box in enumerate(boxes, start=1):
            own = labels[box] == number
            yield Part(
                own,
                top + box[0].start,
                left + box[1].start,
                int(np.count_nonzero(own)),
                float(levels[box][own].mean() / 255),
                None if values is None else values[box][own],
            )

    def _windows(self):
        """Its mask, levels, edges and values in its box; None: not known."""
        top, left, bottom, right = self.box.tolist()
        shape = bottom - top, right - left
        mask = np.zeros(shape, bool)
        lists = self.levels, self.edges, self.values
        windows = [
            np.zeros(shape, pieces[0].dtype) if pieces else None
            for pieces in lists
        ]
        while self.runs:  # what is drawn is freed
            runs = self.runs.pop() - [top, left, left]
            places = _places(runs, shape[1])
            mask.ravel()[places] = True
            for window, pieces in zip(windows, lists, strict=True):
                if pieces:
                    window.ravel()[places] = pieces.pop()
        return mask, *windows


class SceneObjects:
    """The objects of one class.

    Args:
        shape: (H, W) of the scene.
        height: how objects that touch come apart, see
            ``unet.geometry.separation.separate``; None: they do not.
        most: pixels of the box around a connected component. A larger one
            (a river, the ground between all houses) is cut along a row, and
            goes on as another one; with a height from a quarter of it on.

    Attributes:
        cut: how many were cut off because they were too large.
    """

    def __init__(self, shape, height=None, most=LARGEST):
        self.cut = 0
        self._shape, self._height = shape, height
        self._most = most if height is None else most // _LESS
        self._components = Components()
        self._open = {}

    def add(self, mask, probability, top, values=None, edge=None):
        """Add the next block of rows.

        Args:
            mask: bool, h x W.
            probability: float, h x W.
            top: the block's first row.
            values: h x W, what is to be known of each object's pixels.
            edge: float, h x W, the probability that an object ends there;
                None, each time: not known.

        Yields:
            ``Part``: the objects that are whole now.
        """
        for first in range(0, len(mask), _AT_ONCE):
            rows = slice(first, first + _AT_ONCE)
            arrays = [
                None if array is None else array[rows]
                for array in (mask, probability, values, edge)
            ]
            finished = self._added(top + first, *arrays)
            yield from self._taken(finished)
            yield from self._too_large()

    def _added(self, top, mask, probability, values, edge):
        """Add rows: the numbers of the regions that are whole now."""
        labels, numbers, merged, finished = self._components.add(mask)
        for old, new in merged.items():
            # Of a region that was cut nothing is left.
            if old != new and (region := self._open.pop(old, None)):
                self._add(new, region)
        if len(numbers) > 1:
            levels = edges = None
            if self._height is not None:
                levels = to_levels(probability)
                edges = None if edge is None else to_levels(edge)
            for number, region in _regions(
                labels, numbers, top, probability, (levels, edges, values)
            ):
                self._add(number, region)
        return finished

    def close(self):
        """Yield the objects that are still open."""
        yield from self._taken(set(self._open))

    def _add(self, number, region):
        self._open.setdefault(number, Region()).add(region)

    def _taken(self, numbers):
        """Objects that are open no longer, in the order of their numbers."""
        for number in sorted(numbers & self._open.keys()):
            region = self._open.pop(number)
            if region.size() >= _LARGE:
                trim_memory()
            yield from region.parts(self._height, self._shape)

    def _too_large(self):
        """Cut off the regions that are too large now."""
        large = {
            number
            for number, region in self._open.items()
            if region.size() > self._most
        }
        for number in large:
            self._components.forget(number)
        self.cut += len(large)
        yield from self._taken(large)


def _places(runs, width):
    """Of each pixel, in the order of the runs, its index in a flat array.

    Args:
        runs: int64, n x 3: row, first column, end column.
        width: of the array.
    """
    row, start, end = runs.T
    length = end - start
    first = row * width + start - np.cumsum(length) + length
    return np.repeat(first, length) + np.arange(length.sum())


def _regions(labels, numbers, top, probability, arrays):
    """What a block adds to each region.

    Args:
        labels: int32, h x W.
        numbers: of the region of each label.
        top: the block's first row.
        probability: float, h x W.
        arrays: levels, edges and values, each h x W, or None.

    Yields:
        (number, ``Region``).
    """
    edges = np.diff(labels > 0, prepend=False, append=False, axis=1)
    # Runs of different components do not touch: edges come in pairs.
    pairs = np.flatnonzero(edges).reshape(-1, 2)
    rows, columns = np.divmod(pairs, edges.shape[1])
    runs = np.concatenate([rows[:, :1], columns], axis=1)
    owners = numbers[labels[runs[:, 0], runs[:, 1]]]
    order = np.argsort(owners, kind="stable")
    names, first = np.unique(owners[order], return_index=True)
    places = _places(runs[order], labels.shape[1])
    runs = (runs[order] + [top, 0, 0]).astype(np.int32)
    low = np.minimum.reduceat(runs[:, :2], first)
    high = np.maximum.reduceat(runs[:, [0, 2]] + [1, 0], first)
    pixels = np.add.reduceat(runs[:, 2] - runs[:, 1], first)
    begin = np.cumsum(pixels) - pixels
    sums = np.add.reduceat(probability.ravel()[places], begin, dtype=float)
    pieces = [
        [[] for _ in names]
        if array is None
        else _divided(array.ravel()[places], begin)
        for array in arrays
    ]
    for number, part, box, count, total, *lists in zip(
        names.tolist(),
        _divided(runs, first),
        np.concatenate([low, high], axis=1),
        pixels.tolist(),
        sums.tolist(),
        *pieces,
        strict=True,
    ):
        yield number, Region(part, box, count, total, *lists)


def _divided(array, starts):
    """Lists of one array each, which begin where the starts say."""
    # A view would keep the whole array in memory.
    return [[part.copy()] for part in np.split(array, starts[1:])]
