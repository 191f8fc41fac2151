"""Which annotation belongs to which image: they are paired by name."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from unet.annotations.annotation import Annotation
from unet.annotations.placing import in_pixels
from unet.annotations.reading import annotation_files, read_file
from unet.files.errors import DataError
from unet.files.folders import list_images


def find_images(source):
    """Images by name: of a directory, or a single image file.

    Returns:
        dict from name (file name without ending) to a list of paths, more
        than one where only their endings differ; empty where a directory
        holds no image (annotations may bring their images along).

    Raises:
        DataError: the path leads nowhere.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(
            f"{source}: expected a directory of images, found nothing. "
            "Check the path."
        )
    images = {}
    for path in list_images(source) if source.is_dir() else [source]:
        images.setdefault(path.stem, []).append(path)
    return images


def image_of(paths, annotation):
    """The image that is meant: the only one, or the one annotated.

    Args:
        paths: images of one name.
        annotation: what is known of it, or None.

    Raises:
        DataError: there are several, and the annotation names none of them.
    """
    file = annotation.file if annotation else None
    meant = [path for path in paths if path.name == file] or paths
    if len(meant) > 1:
        raise DataError(
            f"{paths[0].parent}: two images have the same name but for their "
            f"ending ({', '.join(path.name for path in paths)}). Rename or "
            "remove one; annotations are paired by name."
        )
    return meant[0]


_ELSEWHERE = "polygon outside all images left out"


def read_annotations(sources, images, kind, rules, progress):
    """Read all annotations that belong to images.

    Args:
        sources: files and directories.
        images: of ``unet.annotations.pairing.find_images``.
        kind: a key of ``FORMATS``, or None.
        rules: what the files leave open.
        progress: function (iterable, total, title) that shows a bar.

    Returns:
        dict from image name to ``Annotation``. A file that cannot be
        understood counts as the annotation of the image that it is called
        like, with an error: its image is not unlabelled.

    Raises:
        DataError: there is no annotation, one that belongs to no image cannot
            be understood, or two belong to one image.
    """
    # Annotations may lie beside the images.
    own = {path for paths in images.values() for path in paths}
    paths = [
        path
        for source in sources
        for path in annotation_files(source)
        if path not in own
    ]
    annotations = {}
    read = partial(_read_one, kind, rules, images)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(read, paths)
        for path, found in zip(
            paths,
            progress(results, len(paths), "Reading annotations"),
            strict=True,
        ):
            for name, annotation in found.items():
                if name in annotations:
                    raise DataError(
                        f"{path}: annotates {name}, which "
                        f"{annotations[name].source} does as well. Give one "
                        "of the two."
                    )
                annotations[name] = annotation
    return annotations


def pair_the_only_ones(images, annotations):
    """One image and one annotation belong together, whatever their names.

    Args:
        images: by name.
        annotations: by the name that they give to their image.

    Returns:
        The annotations by the name of the image.
    """
    if len(images) != 1 or len(annotations) != 1:
        return annotations
    (name,), ((other, annotation),) = images, annotations.items()
    if other != name:
        what = f"annotation of {other} taken for the only image, {name}"
        annotation.repairs[what] += 1
    return {name: annotation}


def _read_one(kind, rules, images, path):
    """Annotations of one file, by image name."""
    try:
        return dict(placed(read_file(path, kind, rules), images))
    except DataError as error:
        if path.stem not in images:
            raise
        return {path.stem: Annotation(path, error=str(error))}


def placed(found, images):
    """Annotations by image name, moved from the ground to pixels.

    A file of places on the ground that is not called like an image is for
    every georeferenced image among them.

    Args:
        found: of ``read_file``.
        images: of ``unet.annotations.pairing.find_images``.

    Yields:
        (image name, ``Annotation``).

    Raises:
        DataError: it touches none.
    """
    for name, annotation in found.items():
        if annotation.crs is None:
            yield name, annotation
        elif name in images or len(images) == 1:
            (only,) = [name] if name in images else images
            image = image_of(images[only], annotation)
            yield only, in_pixels(annotation, image)
        else:
            yield from _on_tiles(annotation, images)


def _on_tiles(annotation, images):
    """The parts of an annotation on the ground, by image name."""
    here, seen = {}, set()
    repairs = annotation.repairs
    for name, paths in images.items():
        one = in_pixels(annotation, image_of(paths, None), seen)
        if one:
            one.repairs += repairs
            here[name], repairs = one, Counter()  # counted once
    if not seen:
        raise DataError(
            f"{annotation.source}: expected the name of an image, or places "
            "on georeferenced images, found neither. Call it like its image, "
            "or correct its CRS."
        )
    missed = len(annotation.instances) - len(seen)
    if missed:
        first = next(one for one in here.values() if one.instances)
        first.repairs[_ELSEWHERE] += missed
    return here.items()
