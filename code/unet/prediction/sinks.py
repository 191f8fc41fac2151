"""Where strips of a prediction go: masks and probabilities."""

from contextlib import ExitStack, contextmanager

import numpy as np

from unet.imagery.png import new_png
from unet.imagery.rasters import Scene, new_geotiff
from unet.prediction.scenes import Strip

# Of the pixels of a mask without data: what is neither class nor background.
MASK_NODATA = 127


@contextmanager
def mask_file(path, scene, number):
    """Write the mask of a class from strips: 0 and 255.

    A GeoTIFF has ``MASK_NODATA`` where the scene has no data, a PNG 0.

    Args:
        path: ends in ``.tif`` or ``.png``.
        scene: ``Scene``.
        number: the class's id.

    Yields:
        A function that takes the next ``unet.prediction.scenes.Strip``.
    """

    def mask(strip):
        return (strip.ids == number) * np.uint8(255)

    if path.suffix == ".tif":
        with new_geotiff(path, scene, "uint8", MASK_NODATA) as add:
            yield lambda strip: add(
                np.where(strip.known, mask(strip), np.uint8(MASK_NODATA))
            )
    else:
        with new_png(path, scene.shape) as add:
            yield lambda strip: add(mask(strip))


@contextmanager
def probability_file(path, scene, kind, channel):
    """Write the probability of a class from strips.

    Args:
        path: ends in ``.tif`` or ``.png``.
        scene: ``Scene``.
        kind: ``"float"``: float32, NaN where the scene has no data.
            ``"8bit"``: a PNG has 0 to 255 for 0 to 1. A GeoTIFF has 0 to 254
            (its scale says so) and 255 where the scene has no data.
        channel: of ``Strip.probability``.

    Yields:
        A function that takes the next ``unet.prediction.scenes.Strip``.
    """

    def levels(strip, most):
        found = np.rint(strip.probability[..., channel] * most)
        return found.clip(0, most).astype(np.uint8)

    if path.suffix == ".png":
        with new_png(path, scene.shape) as add:
            yield lambda strip: add(levels(strip, 255) * strip.known)
    elif kind == "8bit":
        with new_geotiff(path, scene, "uint8", 255, True, 1 / 254) as add:
            yield lambda strip: add(
                np.where(strip.known, levels(strip, 254), np.uint8(255))
            )
    else:
        nan = np.float32(np.nan)
        with new_geotiff(path, scene, "float32", np.nan, True) as add:
            yield lambda strip: add(
                np.where(strip.known, strip.probability[..., channel], nan)
            )


def mask_files(out, name, classes, ending=".png"):
    """Where the masks of an image go: one file a class."""
    if len(classes) == 1:
        return [out / f"{name}{ending}"]
    return [out / f"{name}_{of}{ending}" for of in classes]


def probability_files(out, name, classes, kind, ending=".png"):
    """Where its probabilities go, if ``kind`` asks for any: likewise."""
    if kind is None:
        return []
    ending = ".tif" if kind == "float" else ending
    files = mask_files(out, name, classes, ending)
    return [path.with_stem(f"{path.stem}_probability") for path in files]


def files_of_strips(stack, place, name, scene, classes, kind, ending):
    """Begin the files of masks and probabilities that strips fill.

    Args:
        stack: ``contextlib.ExitStack``, in which they are finished.
        place: directory.
        name: of the image.
        scene: ``unet.imagery.rasters.Scene``.
        classes: foreground class names.
        kind: of the probabilities: ``"8bit"``, ``"float"``, None for none.
        ending: of the masks.

    Returns:
        List of functions that take a ``unet.prediction.scenes.Strip``.
    """
    paths = mask_files(place, name, classes, ending)
    files = [
        mask_file(path, scene, number)
        for number, path in enumerate(paths, start=1)
    ]
    paths = probability_files(place, name, classes, kind, ending)
    first = 0 if len(classes) == 1 else 1
    files += [
        probability_file(path, scene, kind, channel)
        for channel, path in enumerate(paths, start=first)
    ]
    return [stack.enter_context(file) for file in files]


def write_photo(one, out, classes, kind):
    """Write masks and probabilities of a prediction that is held whole.

    Args:
        one: ``unet.prediction.photos.Prediction``.
        out, classes, kind: see ``files_of_strips``.
    """
    known = np.ones(one.ids.shape, bool)
    strip = Strip(0, one.image, one.ids, one.probability, known)
    scene = Scene.of_array(one.image)
    with ExitStack() as stack:
        for add in files_of_strips(
            stack, out, one.name, scene, classes, kind, ".png"
        ):
            add(strip)
