"""Which predicted objects match true ones."""

from collections import Counter

import numpy as np

from unet.geometry.components import Components


class Matches:
    """Counts objects found, of masks that come in blocks or at once.

    Objects are connected components (8 neighbours). A true and a predicted
    one match when their IoU is above 0.5, which at most one pair of each can
    be.
    """

    def __init__(self):
        self.matched = 0
        self._sides = Side(), Side()
        self._shared = Counter()  # pixels by (true object, predicted one)

    def add(self, truth, predicted):
        """Add a block: bool, h x W each."""
        pairs = zip(self._sides, (truth, predicted), strict=True)
        (a, renamed_a), (b, renamed_b) = [
            side.add(mask) for side, mask in pairs
        ]
        shared = Counter()
        for (i, j), pixels in self._shared.items():
            shared[renamed_a.get(i, i), renamed_b.get(j, j)] += pixels
        both = (a > 0) & (b > 0)
        met, pixels = np.unique(
            np.stack([a[both], b[both]]), axis=1, return_counts=True
        )
        for i, j, number in zip(*met.tolist(), pixels.tolist(), strict=True):
            shared[i, j] += number
        self._shared = shared
        self._settle()

    def close(self):
        """Nothing follows."""
        for side in self._sides:
            side.close()
        self._settle()

    def counts(self):
        """After ``close``: matches, predicted objects, true objects."""
        true, predicted = self._sides
        return self.matched, predicted.whole, true.whole

    def _settle(self):
        """Count the pairs that are whole, forget those that cannot match.

        Of a pair with one whole object the shared pixels stay as they are,
        and the union can only grow.
        """
        true, predicted = self._sides
        for (i, j), both in list(self._shared.items()):
            ends = i not in true.open, j not in predicted.open
            matching = 3 * both > true.sizes[i] + predicted.sizes[j]
            self.matched += all(ends) and matching
            if all(ends) or (any(ends) and not matching):
                del self._shared[i, j]
        true.forget({i for i, _ in self._shared})
        predicted.forget({j for _, j in self._shared})


class Side:
    """The objects of the true mask, or of the predicted one."""

    def __init__(self):
        self._components = Components()
        self.open, self.whole = set(), 0  # numbers, and how many are whole
        self.sizes = Counter()

    def add(self, mask):
        """Add a block, bool h x W: (its objects' numbers, h x W, renamed)."""
        labels, numbers, renamed, finished = self._components.add(mask)
        self.open = set(renamed.values()) | set(numbers[1:].tolist())
        self.open -= finished
        self.whole += len(finished)
        for old, new in renamed.items():
            if old != new:
                self.sizes[new] += self.sizes.pop(old)
        sizes = np.bincount(labels.ravel())
        for number, size in zip(
            numbers[1:].tolist(), sizes[1:].tolist(), strict=True
        ):
            self.sizes[number] += size
        return numbers[labels], renamed

    def close(self):
        self.whole += len(self.open)
        self.open = set()

    def forget(self, met):
        """Forget the sizes of whole objects that are in no pair of ``met``."""
        kept = self.open | met
        self.sizes = Counter({n: self.sizes[n] for n in kept})
