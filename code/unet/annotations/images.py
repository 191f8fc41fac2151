"""Images by their names, and which of several an annotation means."""

from pathlib import Path

from unet.files.errors import DataError
from unet.files.folders import list_images, sides_below
from unet.files.names import same


def find_images(source):
    """Images by name: of a directory, or a single image file.

    Args:
        source: its path, or a list of paths. Of a directory without images
            those in ``train/``, ``val/`` and ``test/`` below it.

    Returns:
        dict from name (file name without ending) to a list of paths, more
        than one where only their endings or directories differ; empty where
        a directory holds no image (annotations may bring their images along).

    Raises:
        DataError: a path leads nowhere.
    """
    images = {}
    for place in map(Path, source if isinstance(source, list) else [source]):
        if not place.exists():
            raise DataError(
                f"{place}: expected a directory of images, found nothing. "
                "Check the path."
            )
        for path in _images_of(place) if place.is_dir() else [place]:
            images.setdefault(same(path.stem), []).append(path)
    return images


def _images_of(directory):
    below = [p for side in sides_below(directory) for p in list_images(side)]
    return list_images(directory) or below


def image_of(paths, annotation):
    """The image that is meant: the only one, or the one annotated.

    Args:
        paths: images of one name.
        annotation: what is known of it, or None.

    Raises:
        DataError: there are several, and the annotation names none of them.
    """
    file = same(annotation.file) if annotation and annotation.file else None
    meant = [path for path in paths if same(path.name) == file] or paths
    if len(meant) > 1:
        raise DataError(
            f"{paths[0].parent}: two images have the same name but for their "
            f"ending ({', '.join(path.name for path in paths)}). Rename or "
            "remove one; annotations are paired by name."
        )
    return meant[0]
