"""Scenes with what is known of each, refused before anything is cut."""

from pathlib import Path

import shapely

from unet.annotations.extents import both_extents, listed_span
from unet.annotations.images import find_images
from unet.annotations.reading import read_file
from unet.annotations.repairs import Repair
from unet.files.errors import DataError
from unet.imagery.rasters import Scene, refuse_endless
from unet.imagery.saving import kept_bands
from unet.imagery.stored import stored_as
from unet.tiling.cutting import Source
from unet.tiling.grid import tile_grid
from unet.tiling.labels import MaskLabels, PolygonLabels


def refuse_equal_names(scenes):
    """Raise DataError if two scenes have one name: their tiles would, too.

    Args:
        scenes: list of files and directories.
    """
    for name, paths in find_images(scenes).items():
        if len(paths) > 1:
            raise DataError(
                f"{paths[1]}: expected scenes of different names, found "
                f"another one called {name}, {paths[0]}. Rename one of them: "
                "tiles are named after their scenes."
            )


def open_sources(pairs, cut, rules, components, progress):
    """Look at scenes, and at the values of their masks.

    Args:
        pairs: list of ``unet.annotations.pairing.Pair`` with image files.
        cut: ``unet.tiling.grid.Cut``.
        rules: ``unet.annotations.rules.Rules``.
        components: see ``unet.tiling.labels``.
        progress: function ``(iterable, total, title)``.

    Returns:
        (list of ``Source``, dict from a scene's name to why it is none).

    Raises:
        DataError: the polygons miss all scenes.
    """
    sources, refused = [], {}
    for known in progress(pairs, len(pairs), "Looking at scenes"):
        try:
            sources.append(_source(known, cut, rules, components))
        except DataError as error:
            refused[known.name] = str(error)
    _refuse_missed(sources, rules)
    return sources, refused


def _source(known, cut, rules, components):
    """A ``Source`` of a ``Pair``."""
    path = Path(known.image)
    stored = stored_as(path)
    if stored:
        refuse_endless(path, stored)
    bands = kept_bands(path, rules.bands)
    with Scene(path, bands or rules.bands) as scene:
        grid = tile_grid(known.name, scene, cut)
        labels = None
        if known.mask:
            labels = MaskLabels(known.mask, scene, grid, rules, components)
        elif known.annotation:
            known.annotation.check_size(scene.shape)
            labels = PolygonLabels(known.annotation, grid, components)
    return Source(path, bands or rules.bands, scene.shape, grid, labels)


def _refuse_missed(sources, rules):
    """Raise DataError if there are polygons, and none is on any scene."""
    labelled = [source for source in sources if source.labels]
    if not labelled or not all(map(_misses, labelled)):
        return
    first = labelled[0]
    annotation = first.labels.annotation
    if annotation.instances:
        bounds = shapely.total_bounds(
            [i.geometry for i in annotation.instances]
        )
        height, width = first.shape
        where = (
            f"they span {listed_span(bounds)} in pixels, the scene "
            f"{listed_span((0, 0, width, height))}"
        )
    else:
        (on_ground,) = read_file(annotation.source, rules=rules).values()
        where = both_extents(on_ground, [s.path for s in labelled])
    raise DataError(
        f"{annotation.source}: expected polygons on {first.path}, found "
        f"none there: {where}. Correct the coordinates, or take the right "
        "scene."
    )


def _misses(source):
    """Whether a scene has polygons, all of them beyond it."""
    annotation = source.labels.annotation
    if not annotation.instances:
        return annotation.repairs[Repair.OUTSIDE] > 0
    if not all(getattr(i, "is_polygon", False) for i in annotation.instances):
        return False
    height, width = source.shape
    frame = shapely.box(0, 0, width, height)
    return not any(
        shapely.envelope(i.geometry).intersects(frame)
        for i in annotation.instances
    )
