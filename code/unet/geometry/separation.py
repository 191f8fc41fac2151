"""Objects that touch come apart: watershed on distance times probability.

Where two roofs touch, the region that they form has a waist, and there the
network is less sure. The distance of each pixel to the region's border times
its probability is a landscape with a hill for each roof; the region is cut
along the valleys (Meyer's flooding, scikit-image). A hill that rises less
than a given height above its valley belongs to its neighbour: the h-maxima
of Soille's morphology are what counts as a hill.

Where a network has learned the borders of objects, distance is counted from
the likely ones too: they are outside, and the cut runs along them.

Each connected component is separated by itself, in its own bounding box. It
comes out the same alone, in an image and in a scene that comes by strips.
"""

from contextlib import contextmanager

import cv2
import numpy as np

from unet.geometry.masks import instances

# Of probabilities: a scene keeps a byte for each pixel until it is separated.
LEVELS = 255
# Pixels, standard deviation and reach of the Gaussian that smooths the
# landscape: without it each pixel's step is a hill.
_SMOOTH, _REACH = 1, 4
# Probability that a pixel is of the mask times the one that no object ends
# there. From 0.15 to 0.35 object F1 on validation tiles varies by 0.007.
_SURE = 0.25
# To each pixel's neighbour on the right, below, and on both diagonals below.
_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))


def separate(mask, probability, height, weak=True, edge=None):
    """The objects of a mask: its components, separated where they touch.

    Args:
        mask: bool, H x W.
        probability: float, H x W, 0 to 1.
        height: pixels: how far a hill must rise above the valley beside it;
            None: the components (8 neighbours) are the objects.
        weak: whether a component that is nowhere as high as ``height`` (thin,
            or unsure) is an object. If so the labels cover the mask exactly.
        edge: float, H x W, 0 to 1, the probability that an object ends there;
            None: not known.

    Returns:
        int32, H x W: 0 is background, objects from 1 on.

    >>> y, x = np.mgrid[:24, :44]
    >>> discs = (y - 12) ** 2 + (np.minimum(x, 40 - x) - 12) ** 2 < 100
    >>> int(separate(discs, np.ones(discs.shape), height=None).max())
    1
    >>> labels = separate(discs, np.ones(discs.shape), height=2)
    >>> int(labels[12, 12]), int(labels[12, 28])
    (1, 2)
    >>> bool(((labels > 0) == discs).all())
    True
    """
    from scipy import ndimage  # slow to import, like all of SciPy

    components, _ = instances(mask)
    if height is None:
        return components
    levels = to_levels(probability)
    edges = None if edge is None else to_levels(edge)
    labels, count = np.zeros_like(components), 0
    windows = ndimage.find_objects(components)
    for number, window in enumerate(windows, start=1):
        part = components[window] == number
        place = window[0].start, window[1].start
        ends = None if edges is None else edges[window]
        own, hills = separate_component(
            part, levels[window], height, place, mask.shape, ends
        )
        if hills or weak:
            labels[window][part] = own[part] + count
            count += max(1, hills)
    return labels


def to_levels(probability):
    """Probabilities as uint8, 0 to 255."""
    return np.rint(probability * np.float32(LEVELS)).astype(np.uint8)


def separate_component(part, levels, height, place, shape, edges=None):
    """The objects of one connected component.

    Args:
        part: bool, h x w, the component in its bounding box.
        levels: uint8, h x w, its probability, see ``to_levels``.
        height: see ``separate``.
        place: (top, left) of the box in the image.
        shape: (H, W) of the image: what touches its border goes on there.
        edges: uint8, h x w, likewise where objects end; None: not known.

    Returns:
        (labels, hills): int32, h x w, which cover the component from 1 on;
        the number of its hills, 0 where it is nowhere as high as ``height``,
        which is one label too.
    """
    ends = np.add(place, part.shape)
    before = [int(start > 0) for start in place]
    behind = [int(end < side) for end, side in zip(ends, shape, strict=True)]
    around = tuple(zip(before, behind, strict=True))
    framed = np.pad(part, around)
    inner = tuple(
        slice(start, start + side)
        for start, side in zip(before, part.shape, strict=True)
    )
    core = framed
    if edges is not None:
        core = framed.copy()
        core[inner] &= _inside(levels, edges)
    if core.all():  # the whole image
        return part.astype(np.int32), 1
    hill = border_distances(core)
    if hill.max() < height:
        return part.astype(np.int32), 0
    hill[inner] *= levels / np.float32(LEVELS)
    surface = _smoothed(hill)
    del hill  # the watershed needs the memory
    if edges is not None:
        # Down to where an object ends most probably.
        slope = ~core[inner]
        surface[inner][slope] = edges[slope] / np.float32(-LEVELS)
    surface[~framed] = 0
    if surface.max() < height:
        return part.astype(np.int32), 0
    labels = _hills(surface, framed, height)[inner]
    return labels, int(labels.max())


def _inside(levels, edges):
    """Where the mask is likely enough, and a border of objects is not."""
    return levels * (LEVELS - edges.astype(np.int32)) >= _SURE * LEVELS**2


def border_distances(mask):
    """How far each pixel is from the nearest one outside.

    Distances are exact roots of whole numbers.

    Args:
        mask: bool, H x W, False somewhere.

    Returns:
        float32, H x W, pixels; 0 outside.
    """
    with _without_ipp():
        return cv2.distanceTransform(
            mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )


def _smoothed(hill):
    """A landscape, float32, H x W, without the steps of its pixels."""
    size = (2 * _REACH + 1,) * 2
    with _without_ipp():
        return cv2.GaussianBlur(
            hill, size, _SMOOTH, borderType=cv2.BORDER_REPLICATE
        )


@contextmanager
def _without_ipp():
    """OpenCV by itself, in this thread.

    What Intel's library (IPP) finds depends in its last digit on where an
    array lies in memory, and so would the labels.
    """
    before = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    try:
        yield
    finally:
        cv2.ipp.setUseIPP(before)


def _hills(surface, part, height):
    """Divide a landscape into hills that rise above their valleys.

    Args:
        surface: float32, H x W, 0 outside ``part``; changed meanwhile.
        part: bool, H x W, one connected component.
        height: how far a hill rises at least.

    Returns:
        int32, H x W, 1, 2, ... in ``part``, top to bottom.
    """
    from skimage.segmentation import watershed  # slow to import

    square = np.ones((3, 3), np.uint8)
    highest = part & (cv2.dilate(surface, square) == surface)
    peaks, count = instances(highest)
    if count == 1:
        return part.astype(np.int32)
    # Every local maximum is a peak, so none is higher in a peak's region.
    tops = np.zeros(count + 1, surface.dtype)
    tops[peaks[highest]] = surface[highest]
    seeds = [peaks]
    del highest, peaks  # the watershed needs the memory
    np.negative(surface, out=surface)
    labels = watershed(surface, seeds.pop(), mask=part, connectivity=2)
    np.negative(surface, out=surface)
    owner = _owners(tops, *_valleys(surface, labels), height)
    _, first, owner = np.unique(owner, return_index=True, return_inverse=True)
    # The background is 0, and the number of a hill that of its first peak.
    numbers = np.argsort(np.argsort(first))[owner].astype(np.int32)
    return np.take(numbers, labels)


def _valleys(surface, labels):
    """Where regions meet: (pairs, levels), the highest pass first.

    Returns:
        int64 n x 2, labels that touch (8 neighbours); float32 n, the highest
        of the lower sides of the steps between them.
    """
    pairs, levels, total = [], [], int(labels.max()) + 1
    inside = labels > 0
    height, width = labels.shape
    for down, right in _NEIGHBOURS:
        here = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        there = np.s_[down:, max(0, right) : width + min(0, right)]
        meet = labels[here] != labels[there]
        meet &= inside[here]
        meet &= inside[there]
        meet = np.unravel_index(np.flatnonzero(meet), meet.shape)
        a, b = labels[here][meet], labels[there][meet]
        low, high = np.minimum(a, b).astype(np.int64), np.maximum(a, b)
        pairs.append(low * total + high)
        levels.append(np.minimum(surface[here][meet], surface[there][meet]))
    pairs, levels = np.concatenate(pairs), np.concatenate(levels)
    pairs, owner = np.unique(pairs, return_inverse=True)
    highest = np.full(len(pairs), -np.inf, levels.dtype)
    np.maximum.at(highest, owner, levels)
    order = np.lexsort((pairs, -highest))
    ends = np.stack(np.divmod(pairs[order], total), axis=1)
    return ends, highest[order]


def _owners(tops, pairs, levels, height):
    """To which hill each region belongs.

    From the highest pass down: where two groups of regions meet, the lower
    one is a hill of its own if its top is ``height`` above the pass.

    Args:
        tops: of the regions, by label.
        pairs, levels: of ``_valleys``.
        height: see ``separate``.

    Returns:
        List of labels, by label.
    """
    group = list(range(len(tops)))  # met so far
    owner = list(range(len(tops)))  # merged so far

    def root(parents, k):
        while parents[k] != k:
            parents[k] = parents[parents[k]]
            k = parents[k]
        return k

    for (a, b), level in zip(pairs.tolist(), levels.tolist(), strict=True):
        high, low = root(group, a), root(group, b)
        if high == low:
            continue
        if (tops[high], -high) < (tops[low], -low):
            high, low, a, b = low, high, b, a
        group[low] = high
        # A border's slope lies below 0, and makes no hill any higher.
        if tops[low] - max(level, 0) < height:
            owner[root(owner, b)] = root(owner, a)
    return [root(owner, k) for k in range(len(tops))]
