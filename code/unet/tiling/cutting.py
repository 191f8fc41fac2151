"""Scenes and what is known of them to a tree of tiles."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from unet.annotations.drawing import write_class_list
from unet.files.cores import usable_cores
from unet.files.errors import DataError
from unet.files.folders import IGNORE, class_folder
from unet.geometry.instances import add_window
from unet.geometry.masks import without_overlap
from unet.imagery.bands import Bands
from unet.imagery.mask_values import write_ignored
from unet.imagery.png import write_mask
from unet.imagery.rasters import Scene
from unet.imagery.resampling import Reduced
from unet.imagery.saving import save_image
from unet.tiling.grid import TileGrid

# Share of a tile that must have data, and be annotated, to count as such.
_ENOUGH = 0.5
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Source:
    """A scene to cut.

    Attributes:
        path: of the scene.
        bands: ``unet.imagery.bands.Bands`` to keep; or those of a picture,
            see ``unet.imagery.reading.read_image``.
        shape: (H, W) of the scene.
        grid: ``unet.tiling.grid.TileGrid``.
        labels: of ``unet.tiling.labels``; None: nobody has annotated it.
    """

    path: Path
    bands: Bands | tuple[int, ...] | str | None
    shape: tuple[int, int]
    grid: TileGrid
    labels: object = None


@dataclass
class CutScene:
    """What became of a scene.

    Attributes:
        name: of the scene.
        labelled: tiles with masks.
        empty: tiles on which nothing is, and somebody looked.
        unlabelled: tiles at which nobody has looked.
        no_data: tiles left out because half of them or more has no data.
        left_out: empty tiles that were not to be kept.
        masks: files of masks.
        judged: pixels of the tiles with masks, and of the empty ones.
        ignored: how many of them nobody has labelled.
        unseen: objects that no tile shows.
        pixels: of the scene, at the resolution of the tiles.
        beyond: how many of them at the borders lie on no tile.
        repairs: what was mended, and how often.
        error: why nothing of it was written, or None.
    """

    name: str
    labelled: int = 0
    empty: int = 0
    unlabelled: int = 0
    no_data: int = 0
    left_out: int = 0
    masks: int = 0
    judged: int = 0
    ignored: int = 0
    unseen: int = 0
    pixels: int = 0
    beyond: int = 0
    repairs: Counter = field(default_factory=Counter)
    error: str | None = None

    @property
    def tiles(self):
        """Tiles that were written."""
        return self.labelled + self.empty + self.unlabelled


def cut_scenes(tree, sources, classes, cut):
    """Write the tiles of scenes, a row of tiles at a time.

    The memory needed grows with the width of a scene, not with its height.

    Args:
        tree: directory to write to.
        sources: list of ``Source``.
        classes: names, in their order; masks of several are written to a
            folder of each.
        cut: ``unet.tiling.grid.Cut``.

    Yields:
        After each row of tiles None, after each scene its ``CutScene``.
        Nothing stays of a scene whose file or mask turns out to be damaged.
    """
    with ThreadPoolExecutor(usable_cores()) as pool:
        for source in sources:
            grid = source.grid
            result = CutScene(
                grid.scene, pixels=grid.pixels, beyond=grid.beyond
            )
            writer = _Writer(tree, source, len(classes) > 1, pool)
            try:
                for _ in _rows_of(source, result, writer, cut.keep_empty):
                    yield None
            except DataError as error:
                writer.remove()
                result = CutScene(grid.scene, error=str(error))
            yield result
    write_class_list(tree, classes)


def _rows_of(source, result, writer, keep_empty):
    """Cut a scene, and count in ``result``; yields after each row."""
    grid, seen = source.grid, set()
    with (
        Scene(source.path, source.bands) as scene,
        source.labels or nullcontext() as labels,
    ):
        reduced = Reduced(scene, grid.shape)
        for top, later in pairwise([*grid.rows, grid.shape[0]]):
            images, known = reduced.read(top, top + grid.size, later)
            if labels:
                labels.read(top)
            for left in grid.columns:
                columns = slice(left, left + grid.size)
                if known[:, columns].mean() < _ENOUGH:
                    result.no_data += 1
                    continue
                tile = labels and labels.tile(left)
                if tile:
                    unseen = ~known[:, columns]
                    tile = _divided(tile, unseen, writer.by_class)
                if _count(result, tile, keep_empty):
                    writer.write(top, left, images[:, columns], tile)
                    if _is_labelled(tile):
                        seen.update(tile.numbers)
                        result.judged += tile.ignored.size
                        result.ignored += int(tile.ignored.sum())
            result.masks += writer.finish()
            yield
    if labels:
        result.unseen = max(0, len(labels.annotation.instances) - len(seen))
        result.repairs = +labels.annotation.repairs


def _divided(tile, unseen, by_class):
    """What is ignored on a tile, apart from its masks.

    Args:
        tile: ``TileLabels``.
        unseen: bool, size x size: the scene has no data.
        by_class: there are several classes, none of whose masks covers
            another one's.

    Returns:
        ``TileLabels`` without masks of ``IGNORE``.
    """
    masks, ignored = tile.masks, unseen.copy()
    if tile.ignored is not None:
        ignored |= tile.ignored
    if by_class or any(label == IGNORE for label, *_ in masks):
        masks = list(without_overlap(masks[::-1], unseen.shape))
    for label, *window in masks:
        if label == IGNORE:
            add_window(ignored, *window)
    masks = [mask for mask in masks if mask[0] != IGNORE]
    return replace(tile, masks=masks, ignored=ignored)


def _count(result, tile, keep_empty):
    """Count a tile; whether it is to be written."""
    if not _is_labelled(tile):
        result.unlabelled += 1
        return True
    if tile.masks:
        result.labelled += 1
        return True
    # Evenly spread over the scene, and the same ones each time.
    number = result.empty + result.left_out + 1
    if result.empty < int(number * keep_empty + _ROUNDING):
        result.empty += 1
        return True
    result.left_out += 1
    return False


def _is_labelled(tile):
    """Whether somebody has looked at enough of a tile."""
    return tile is not None and tile.covered >= _ENOUGH


class _Writer:
    """Writes the tiles of a scene, several at once."""

    def __init__(self, tree, source, by_class, pool):
        self._tree, self._grid = tree, source.grid
        kept = isinstance(source.bands, Bands)
        self._bands = source.bands if kept else None
        self.by_class, self._pool = by_class, pool
        self._names, self._jobs = [], []

    def write(self, top, left, image, tile):
        """Begin to write a tile: ``TileLabels``, or None."""
        name = self._grid.name(top, left)
        self._names.append(name)
        place = self._grid.place and self._grid.place.moved(top, left)
        tile = tile if _is_labelled(tile) else None
        self._jobs.append(
            self._pool.submit(self._write, name, image, place, tile)
        )

    def _write(self, name, image, place, tile):
        folder = self._tree / name
        save_image(folder / "images", name, image, place, self._bands)
        if tile is None:
            return 0
        (folder / "masks").mkdir()
        shape = image.shape[:2]
        for number, (label, *window) in enumerate(tile.masks, start=1):
            target = folder / "masks"
            if self.by_class:
                target /= class_folder(label)
            write_mask(target / f"{name}_mask_{number}.png", *window, shape)
        write_ignored(folder, tile.ignored)
        return len(tile.masks)

    def finish(self):
        """Wait until all that was begun is written: the number of masks."""
        jobs, self._jobs = self._jobs, []
        return sum(job.result() for job in jobs)

    def remove(self):
        """Remove all that was written of the scene."""
        for job in self._jobs:
            job.exception()
        for name in self._names:
            shutil.rmtree(self._tree / name, ignore_errors=True)
