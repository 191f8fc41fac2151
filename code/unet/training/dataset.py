"""A tree of samples as two arrays, made once and memory-mapped ever after."""

import hashlib
import json
import shutil
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from unet.files.cache import cache_directory
from unet.files.cores import usable_cores
from unet.files.errors import DataError, Notice
from unet.files.folders import UNKNOWN
from unet.files.locks import held_directory, remove_unless_held
from unet.geometry.masks import resize_ids
from unet.imagery.bands import DEPTHS, Bands
from unet.imagery.contrast import enhance
from unet.imagery.georeference import read_georeference
from unet.imagery.mask_values import read_truth
from unet.imagery.reading import ALL
from unet.imagery.resizing import resize_image
from unet.training import array_files
from unet.training.image_bands import BandReader, bands_of

# Raise it when the same files give other arrays than before.
_VERSION = 5
_MOST_REDUCED = 4  # times; more deserves a word
_MOST_OBJECTS = 65_534  # in an image: they are numbered in 16 bits


@dataclass
class Dataset:
    """Images and labels, one row a sample.

    Attributes:
        X: uint8 or uint16, N x H x W x bands; memory-mapped, read only.
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
        bands: ``unet.imagery.bands.Bands``: what the channels of X are;
            without limits.
    """

    X: np.ndarray
    Y: np.ndarray
    names: list[str]
    shapes: list[tuple[int, int]]
    classes: list[str]
    contrast: str
    resolutions: list[tuple[float, float] | None]
    digest: str
    bands: Bands
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
        rows = array_files.in_turn(self.Y)
        return np.array([np.bincount(y.ravel(), minlength=256) for y in rows])

    def has_object(self):
        """Which rows show an object: bool array."""
        return self.pixels[:, 1:UNKNOWN].any(axis=1)

    def ignored_share(self):
        """Share of all pixels that nobody labelled."""
        return float(self.pixels[:, UNKNOWN].sum() / self.pixels.sum())

    def traits(self):
        """What each image is like: share of each class, and mean colour.

        Returns:
            float array, N x (classes + bands); shares, of the labelled
            pixels, and mean values divided by 255.
        """
        labelled = self.pixels[:, :UNKNOWN].sum(axis=1, keepdims=True)
        counts = self.pixels[:, 1 : len(self.classes) + 1]
        bands = range(self.X.shape[-1])
        rows = array_files.in_turn(self.X)
        means = [[cv2.mean(x[..., k])[0] for k in bands] for x in rows]
        shares = counts / np.maximum(labelled, 1)
        return np.hstack([shares, np.divide(means, 255)])

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


def load(
    samples,
    size,
    classes,
    progress,
    contrast="none",
    objects=False,
    bands=None,
):
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
        bands: numbers of the bands to read, see ``unet.imagery.bands.Bands``;
            or ``Bands`` of another data set, which these images must have.

    Returns:
        A ``Dataset``. A ``Notice`` tells of images that are much larger than
        the arrays.

    Raises:
        DataError: a file is unreadable, a mask does not fit its image, or
            images have different bands.
    """
    how = size, classes, contrast, objects, bands
    folder = cache_directory() / _key(samples, how)
    opened = partial(_open, fits=partial(_fits, samples=samples, how=how))
    dataset = opened(folder)
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
                dataset = array_files.install(temporary, folder, opened)
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


def _build(folder, samples, progress, size, classes, contrast, objects, bands):
    """Write the arrays and, last, meta.json into an empty folder."""
    count, reader = len(samples), _reader(samples, bands, contrast)
    bands, new = reader.bands(), array_files.new_array
    shape, dtype = (count, *size, bands.count), bands.dtype or np.uint8
    X = new(folder / "X.npy", shape, dtype)
    arrays = [X, Y := new(folder / "Y.npy", X.shape[:3])]
    if objects:
        arrays.append(new(folder / "instances.npy", Y.shape, np.uint16))

    def read(index):
        sample = samples[index]
        image = reader.read(sample.image)
        truth = read_truth(sample, classes, image.shape[:2])
        small = enhance(resize_image(image, size), contrast)
        if index % array_files.ROWS_AT_ONCE == 0:
            array_files.let_go(*arrays)
        X[index] = small.reshape(X.shape[1:])
        Y[index] = resize_ids(truth.ids, size)
        if objects:
            arrays[2][index] = _small(truth.instances, size, sample)
        shape = image.shape[:2]
        place = read_georeference(sample.image)
        return shape, place and place.resolution(shape)

    with ThreadPoolExecutor(usable_cores()) as pool:
        sources = list(
            progress(pool.map(read, range(count)), count, "Reading images")
        )
    shapes, resolutions = zip(*sources, strict=True)
    for array in arrays:
        array.flush()
    names = [sample.name for sample in samples]
    content = hashlib.sha256(repr((names, classes)).encode())
    for row in chain.from_iterable(map(array_files.in_turn, arrays)):
        content.update(row)
    meta = {
        "names": names,
        "shapes": shapes,
        "classes": classes,
        "contrast": contrast,
        "resolutions": resolutions,
        "digest": content.hexdigest()[:16],
        "bands": asdict(reader.bands()),
        "files": array_files.states(folder),
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _reader(samples, bands, contrast):
    """The ``BandReader`` of a data set.

    Raises:
        DataError: the first image lacks a band, or contrast is no matter of
            such bands.
    """
    first = samples[0].image
    known, asked, model = bands, bands, "the training images"
    if isinstance(bands, Bands):
        asked = bands.numbers
    else:
        known, model = bands_of(first, bands), first
    if contrast != "none" and (known.count != 3 or known.dtype == "uint16"):
        raise DataError(
            f"{first}: contrast {contrast} is for red, green and blue of 8 "
            f"bits, found {', '.join(known.names())} of "
            f"{DEPTHS[known.dtype or 'uint8']}. Train without it."
        )
    return BandReader(known, asked, model)


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


def _open(folder, fits):
    """The data set in a cache folder; None if it is not whole, or odd."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if meta.pop("files") != array_files.states(folder):
            return None
        arrays = {
            path.stem: np.load(path, mmap_mode="r")
            for path in folder.glob("*.npy")
        }
        kept = meta.pop("bands")
        kept = {k: tuple(v) if type(v) is list else v for k, v in kept.items()}
        dataset = Dataset(**arrays, **meta, bands=Bands(**kept))
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
    size, classes, contrast, objects, bands = how
    count, own = len(samples), dataset.bands
    channels, dtype = own.count, own.dtype or "uint8"
    asked = bands.numbers if isinstance(bands, Bands) else bands
    sides = np.array(dataset.shapes, dtype=np.int64)
    steps = [step for step in dataset.resolutions if step is not None]
    arrays = [(dataset.X, (count, *size, channels), dtype)]
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
        and asked in (own.numbers, ALL)
        and isinstance(dataset.digest, str)
        and sides.shape == (count, 2)
        and bool((sides > 0).all())
        and len(dataset.resolutions) == count
        and bool((np.array(steps, float).reshape(-1, 2) > 0).all())
        and bool(np.isfinite(np.array(steps, float)).all())
    )


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
