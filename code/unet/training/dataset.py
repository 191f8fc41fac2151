"""A tree of samples as two arrays, made once and memory-mapped ever after."""

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np

from unet.files.cache import cache_directory
from unet.files.cores import usable_cores
from unet.files.errors import DataError, Notice
from unet.files.folders import UNKNOWN
from unet.files.locks import held_directory, remove_unless_held
from unet.geometry.masks import resize_ids
from unet.imagery.contrast import enhance
from unet.imagery.georeference import read_georeference
from unet.imagery.mask_values import read_truth
from unet.imagery.reading import read_image
from unet.imagery.resizing import resize_image

# Raise it when the same files give other arrays than before.
_VERSION = 4
_MOST_REDUCED = 4  # times; more deserves a word
_MOST_OBJECTS = 65_534  # in an image: they are numbered in 16 bits


@dataclass
class Dataset:
    """Images and labels, one row a sample.

    Attributes:
        X: uint8, N x H x W x 3, RGB; memory-mapped, read only.
        Y: uint8, N x H x W, class ids with 0 as background, ``UNKNOWN`` where
            nobody has labelled; likewise.
        instances: uint16, N x H x W, which object each pixel belongs to, 0 is
            background; likewise. None if nobody asked for it.
        names: N sample names.
        shapes: N original (height, width).
        classes: foreground class names; class k has the id k + 1.
        contrast: how the images were enhanced, see ``unet.imagery.contrast``.
        resolutions: N (from row to row, from column to column) of the
            originals, metres a pixel; None of those without a place on the
            ground.
        digest: of X, Y and the names: the same data give the same digest.
    """

    X: np.ndarray
    Y: np.ndarray
    names: list[str]
    shapes: list[tuple[int, int]]
    classes: list[str]
    contrast: str
    resolutions: list[tuple[float, float] | None]
    digest: str
    instances: np.ndarray | None = None

    @property
    def scale(self):
        """Median side of an array row over the side of its original."""
        sides = np.array(self.X.shape[1:3]) / np.array(self.shapes)
        return float(np.median(sides))

    @property
    def scales(self):
        """The same of rows and of columns: list of two floats."""
        sides = np.array(self.X.shape[1:3]) / np.array(self.shapes)
        return np.median(sides, axis=0).tolist()

    @property
    def resolution(self):
        """Median metres a pixel of an array's rows and of its columns.

        None if fewer than half of the images have a place on the ground.
        """
        known = [
            np.multiply(resolution, shape) / self.X.shape[1:3]
            for resolution, shape in zip(
                self.resolutions, self.shapes, strict=True
            )
            if resolution
        ]
        if 2 * len(known) < len(self.names):
            return None
        return np.median(known, axis=0).tolist()

    @cached_property
    def pixels(self):
        """Pixels of each image by class id: int64, N x 256."""
        rows = [np.bincount(ids.ravel(), minlength=256) for ids in self.Y]
        return np.array(rows)

    def has_object(self):
        """Which rows show an object: bool array."""
        return self.pixels[:, 1:UNKNOWN].any(axis=1)

    def ignored_share(self):
        """Share of all pixels that nobody labelled."""
        return float(self.pixels[:, UNKNOWN].sum() / self.pixels.sum())

    def traits(self):
        """What each image is like: share of each class, and mean colour.

        Returns:
            float array, N x (classes + 3); shares, of the labelled pixels,
            and colours from 0 to 1.
        """
        labelled = self.pixels[:, :UNKNOWN].sum(axis=1, keepdims=True)
        counts = self.pixels[:, 1 : len(self.classes) + 1]
        colours = [np.divide(cv2.mean(x)[:3], 255) for x in self.X]
        return np.hstack([counts / np.maximum(labelled, 1), colours])

    def class_shares(self):
        """Share of the labelled pixels per class id, array that sums to 1.

        Raises:
            DataError: no image has an object, or nobody labelled a pixel.
        """
        counts = self.pixels.sum(axis=0)[: len(self.classes) + 1]
        if counts[0] == counts.sum():
            seen = "are black or absent" if counts[0] else "ignore every pixel"
            raise DataError(
                f"{self.names[0]}: the masks of all {len(self.names)} images "
                f"{seen}, from {self.names[0]} to {self.names[-1]}: there is "
                "nothing to learn. Look at a mask, and convert the annotations "
                "again."
            )
        return counts / counts.sum()


def load(samples, size, classes, progress, contrast="none", objects=False):
    """Load labelled samples, from the cache where it holds them.

    The cache is keyed by the place, size and time of change of every file,
    and by the settings. It is built under a temporary name and renamed, so
    that it is never half there, and checked whenever it is opened.

    Args:
        samples: list of labelled ``unet.files.folders.Sample``.
        size: (height, width) of the arrays.
        classes: foreground class names, in the order of their ids.
        progress: function ``(iterable, total, title)`` that returns an
            iterable; called only when files must be read.
        contrast: how the images are enhanced at their new size, see
            ``unet.imagery.contrast``.
        objects: read which object each pixel belongs to as well.

    Returns:
        A ``Dataset``. A ``Notice`` tells of images that are much larger than
        the arrays.

    Raises:
        DataError: a file is unreadable, or a mask does not fit its image.
    """
    how = size, classes, contrast, objects
    folder = cache_directory() / _key(samples, how)
    fits = partial(_fits, samples=samples, how=how)
    dataset = _open(folder, fits)
    if dataset is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f".{folder.name}.*"):
            remove_unless_held(left)
        temporary = Path(
            tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)
        )
        try:
            with held_directory(temporary):
                _build(temporary, samples, progress, *how)
                dataset = _install(temporary, folder, fits)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    sides = np.array(dataset.shapes)
    if (sides > _MOST_REDUCED * np.array(size)).any():
        warnings.warn(
            f"images of more than {_MOST_REDUCED} times the input's side, "
            f"{max(size)} pixels, are reduced as a whole, and small objects "
            "are lost: cut them into tiles with code/util/tile.py",
            Notice,
            stacklevel=1,
        )
    return dataset


def _key(samples, how):
    """Digest of the files' state and the settings."""
    _, classes, *_ = how
    digest = hashlib.sha256(repr((_VERSION, *how)).encode())
    for sample in samples:
        digest.update(str(sample.image.absolute()).encode())
        masks = [path for name in classes for path in _masks(sample, name)]
        for paths in ([sample.image, *masks], sample.ignored):
            states = [path.stat() for path in paths]
            facts = [
                (path.name, state.st_size, state.st_mtime_ns)
                for path, state in zip(paths, states, strict=True)
            ]
            digest.update(repr(facts).encode())
    return digest.hexdigest()[:32]


def _masks(sample, name):
    return sample.masks.get(name, [])


def _build(folder, samples, progress, size, classes, contrast, objects):
    """Write the arrays and, last, meta.json into an empty folder."""
    count = len(samples)
    X = _new_array(folder / "X.npy", (count, *size, 3))
    Y = _new_array(folder / "Y.npy", (count, *size))
    own = None
    if objects:
        own = _new_array(folder / "instances.npy", Y.shape, np.uint16)

    def read(index):
        sample = samples[index]
        image = read_image(sample.image)
        truth = read_truth(sample, classes, image.shape[:2])
        X[index] = enhance(resize_image(image, size), contrast)
        Y[index] = resize_ids(truth.ids, size)
        if own is not None:
            own[index] = _small(truth.instances, size, sample)
        shape = image.shape[:2]
        place = read_georeference(sample.image)
        return shape, place and place.resolution(shape)

    with ThreadPoolExecutor(usable_cores()) as pool:
        sources = list(
            progress(pool.map(read, range(count)), count, "Reading images")
        )
    shapes, resolutions = zip(*sources, strict=True)
    arrays = [X, Y, *([] if own is None else [own])]
    for array in arrays:
        array.flush()
    names = [sample.name for sample in samples]
    content = hashlib.sha256(repr((names, classes)).encode())
    for array in arrays:
        content.update(array)
    meta = {
        "names": names,
        "shapes": shapes,
        "classes": classes,
        "contrast": contrast,
        "resolutions": resolutions,
        "digest": content.hexdigest()[:16],
        "files": _states(folder),
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _small(instances, size, sample):
    """A map of objects at another size, by the nearest pixel, as uint16."""
    if instances.max() > _MOST_OBJECTS:
        raise DataError(
            f"{sample.image}: expected up to {_MOST_OBJECTS} objects in an "
            f"image, found {instances.max()}. Cut the image into tiles."
        )
    height, width = size
    return cv2.resize(
        instances.astype(np.uint16),
        (width, height),
        interpolation=cv2.INTER_NEAREST_EXACT,
    )


def _new_array(path, shape, dtype=np.uint8):
    """A memory-mapped array whose space on the disk is really there.

    A file that grows only when it is touched would end the process with
    SIGBUS on a full disk, instead of an error that can be reported.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):  # not on every system
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _states(folder):
    """Size and time of change of the arrays: damage changes one of them."""
    states = {}
    for path in sorted(folder.glob("*.npy")):
        state = path.stat()
        states[path.name] = [state.st_size, state.st_mtime_ns]
    return states


def _open(folder, fits):
    """The data set in a cache folder; None if it is not whole, or odd."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if meta.pop("files") != _states(folder):
            return None
        arrays = {
            path.stem: np.load(path, mmap_mode="r")
            for path in folder.glob("*.npy")
        }
        dataset = Dataset(**arrays, **meta)
        return dataset if fits(dataset) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    except (OverflowError, RecursionError):  # of a number, of JSON in JSON
        return None


def _fits(dataset, samples, how):
    """Whether a data set from the cache is one of these samples.

    Raises:
        TypeError, ValueError: it holds something else altogether.
    """
    size, classes, contrast, objects = how
    count = len(samples)
    sides = np.array(dataset.shapes, dtype=np.int64)
    steps = [step for step in dataset.resolutions if step is not None]
    arrays = [(dataset.X, (count, *size, 3), np.uint8)]
    arrays.append((dataset.Y, (count, *size), np.uint8))
    if objects:
        arrays.append((dataset.instances, (count, *size), np.uint16))
    return (
        all(
            array.shape == shape and array.dtype == dtype
            for array, shape, dtype in arrays
        )
        and dataset.names == [sample.name for sample in samples]
        and dataset.classes == list(classes)
        and dataset.contrast == contrast
        and isinstance(dataset.digest, str)
        and sides.shape == (count, 2)
        and bool((sides > 0).all())
        and len(dataset.resolutions) == count
        and bool((np.array(steps, float).reshape(-1, 2) > 0).all())
        and bool(np.isfinite(np.array(steps, float)).all())
    )


def _install(temporary, folder, fits):
    """Give a finished cache its name; another process may be faster."""
    try:
        temporary.rename(folder)
    except OSError:
        dataset = _open(folder, fits)
        if dataset is not None:
            return dataset
        damaged = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
        folder.rename(damaged / "damaged")
        shutil.rmtree(damaged, ignore_errors=True)
        return _install(temporary, folder, fits)
    return _open(folder, fits)


def labelled(samples, root):
    """The samples that somebody has labelled.

    Raises:
        DataError: there is none.
    """
    known = [sample for sample in samples if sample.masks is not None]
    if not known:
        raise DataError(
            f"{root}: expected folders with masks, found {len(samples)} "
            "without a masks/ folder. Add masks, or an empty masks/ folder "
            "where there is nothing to find."
        )
    return known


def describe(samples):
    """Counts of samples, in words."""
    known = [sample for sample in samples if sample.masks is not None]
    counts = [sum(map(len, sample.masks.values())) for sample in known]
    text = f"{len(counts)} images, {sum(counts)} instances"
    if counts:
        text += (
            f" ({min(counts)} to {max(counts)} an image, "
            f"{counts.count(0)} images without any)"
        )
    if len(known) < len(samples):
        text += f", {len(samples) - len(known)} without masks/ left out"
    return text
