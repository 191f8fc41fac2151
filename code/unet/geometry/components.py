"""A scene that comes in pieces: blocks of rows, and objects across them."""

import numpy as np

from unet.geometry.masks import instances


class RowBlocks:
    """Cuts what comes in strips of any heights into blocks of one height.

    What is made of the blocks cannot depend on how the strips were divided.

    Args:
        height: of a block in rows; the last one of a scene may be lower.
        rows: of the whole scene.

    >>> scene, blocks = np.arange(5)[:, None], RowBlocks(height=2, rows=5)
    >>> for strip in (scene[:3], scene[3:]):
    ...     for top, (block,) in blocks.add(strip):
    ...         print(top, block.ravel())
    0 [0 1]
    2 [2 3]
    4 [4]
    >>> blocks.close()
    """

    def __init__(self, height, rows):
        self.height, self.rows = height, rows
        self._top, self._held, self._parts = 0, 0, []

    def add(self, *arrays):
        """Add some rows of several arrays.

        Args:
            arrays: with the same number of rows each; None, each time,
                stays None.

        Yields:
            (top, arrays) of every block that is whole now.

        Raises:
            ValueError: these are more rows than the scene has.
        """
        start, rows = 0, len(arrays[0])
        if self._top + self._held + rows > self.rows:
            raise ValueError(f"more than the {self.rows} rows of the scene")
        while start < rows:
            height = min(self.height, self.rows - self._top)
            stop = min(rows, start + height - self._held)
            part = [
                None if array is None else array[start:stop] for array in arrays
            ]
            self._held += stop - start
            start = stop
            if self._held < height:
                # Whoever made the strip may use its memory again.
                self._parts.append(
                    [None if array is None else array.copy() for array in part]
                )
                continue
            whole = [*self._parts, part]
            top, self._top = self._top, self._top + height
            self._held, self._parts = 0, []
            if len(whole) > 1:
                part = [
                    None if pieces[0] is None else np.concatenate(pieces)
                    for pieces in zip(*whole, strict=True)
                ]
            yield top, part

    def close(self):
        """Raise ValueError if rows of the scene are missing."""
        if self._top < self.rows:
            here = self._top + self._held
            raise ValueError(f"{here} of the {self.rows} rows of the scene")


class Components:
    """The connected components (8 neighbours) of a mask that comes in blocks.

    A component has a number from its first block on; where two turn out to be
    one, the older number stays. Memory is that of one row.
    """

    def __init__(self):
        self._next = 1
        self._row = None  # numbers along the last row, 0: background

    def add(self, mask):
        """The next block.

        Args:
            mask: bool, h x W.

        Returns:
            (labels, numbers, merged, finished): int32 h x W with 0 as
            background; int64, the number of the component of each label, 0
            first; dict from the numbers that were open before to what they
            are now; the set of numbers that can get no pixel any more.
        """
        from scipy import sparse  # slow to import
        from scipy.sparse.csgraph import connected_components

        labels, count = instances(mask)
        if self._row is None:
            self._row = np.zeros(mask.shape[1], np.int64)
        open_ = np.unique(self._row[self._row > 0])
        ends = _touching(self._row, labels[0])
        above = np.searchsorted(open_, ends[0])
        total = len(open_) + count
        graph = sparse.coo_matrix(
            (np.ones(len(above)), (above, len(open_) + ends[1] - 1)),
            shape=(total, total),
        )
        groups, member = connected_components(graph, directed=False)
        fresh = np.iinfo(np.int64).max
        number = np.full(groups, fresh)
        np.minimum.at(number, member[: len(open_)], open_)
        new = np.flatnonzero(number == fresh)
        number[new] = self._next + np.arange(len(new))
        self._next += len(new)
        merged = number[member[: len(open_)]]
        numbers = np.concatenate([[0], number[member[len(open_) :]]])
        self._row = numbers[labels[-1]]
        finished = set(number.tolist()) - set(np.unique(self._row).tolist())
        before = dict(zip(open_.tolist(), merged.tolist(), strict=True))
        return labels, numbers, before, finished

    def close(self):
        """The numbers that are still open; nothing follows."""
        return set(np.unique(self._row[self._row > 0]).tolist())

    def forget(self, number):
        """Cut a component off: what touches it from below is another one."""
        self._row[self._row == number] = 0


def _touching(above, below):
    """Pairs of neighbours (8) in two rows: int arrays (above, below)."""
    width = len(above)
    pairs = []
    for shift in (-1, 0, 1):
        upper = above[max(0, shift) : width + min(0, shift)]
        lower = below[max(0, -shift) : width + min(0, -shift)]
        both = (upper > 0) & (lower > 0)
        pairs.append(np.stack([upper[both], lower[both]]))
    upper, lower = np.concatenate(pairs, axis=1)
    # A pair as one number is sorted much faster.
    span = int(below.max()) + 1
    return np.divmod(np.unique(upper * span + lower), span)
