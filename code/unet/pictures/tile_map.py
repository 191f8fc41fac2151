"""Scenes as their tiles show them, coloured by the side of each tile."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from unet.files.splits import spread
from unet.files.tile_names import TileName, tile_name
from unet.imagery.reading import read_image
from unet.imagery.resizing import resize_image
from unet.pictures.figures import save_figure

# In this order: of tiles that overlap the later one is seen.
_COLOURS = {
    "margin": (150, 150, 150),
    "train": (0, 158, 255),
    "test": (230, 60, 150),
}
_TITLES = {"margin": "left out: shares ground with test, or is too near"}
_TINT, _BORDER = 0.3, 2  # share of the colour, and pixels of the picture
_LONGEST = 1400  # pixels of a scene's longer side
_MOST_SCENES = 6
_PANEL = 7  # inches


@dataclass(frozen=True)
class _Tile:
    name: TileName
    sample: object
    side: str


def save_tile_map(path, samples, sides, progress):
    """Write a picture of scenes with their tiles coloured by side.

    Args:
        path: of the PNG. Nothing is written if no sample is a tile.
        samples: list of ``unet.files.folders.Sample``.
        sides: "train", "test" or "margin" of each.
        progress: function ``(iterable, total, title)``.
    """
    scenes = {}
    for sample, side in zip(samples, sides, strict=True):
        name = tile_name(sample.name)
        if name:
            tiles = scenes.setdefault(name.scene, [])
            tiles.append(_Tile(name, sample, side))
    if not scenes:
        return
    shown = spread(list(scenes), _MOST_SCENES)
    pictures = [_picture(scenes[scene], progress) for scene in shown]
    heights = [len(picture) / picture.shape[1] for picture in pictures]
    figure = Figure((_PANEL, _PANEL * sum(heights) + 1), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[
        :, 0
    ]
    for scene, picture, axis in zip(shown, pictures, axes, strict=True):
        axis.imshow(picture)
        axis.set_axis_off()
        axis.set_title(f"{scene}: {len(scenes[scene])} tiles", fontsize=9)
    seen = {tile.side for scene in shown for tile in scenes[scene]}
    patches = [
        Patch(color=np.divide(colour, 255), label=_TITLES.get(side, side))
        for side, colour in reversed(_COLOURS.items())
        if side in seen
    ]
    figure.legend(
        handles=patches, loc="outside lower center", ncols=3, fontsize=8
    )
    save_figure(figure, path)


def _picture(tiles, progress):
    """uint8, H x W x 3: the tiles of a scene at their places."""
    places = np.array([(t.name.row, t.name.column) for t in tiles])
    ends = places + [[t.name.size] for t in tiles]
    origin = places.min(axis=0)
    scale = min(1, _LONGEST / (ends.max(axis=0) - origin).max())
    # Rounded once, so that neighbours touch.
    starts = np.rint((places - origin) * scale).astype(int)
    stops = np.rint((ends - origin) * scale).astype(int)
    stops = np.maximum(stops, starts + 1)
    picture = np.full((*stops.max(axis=0), 3), 255, np.uint8)
    order = sorted(
        range(len(tiles)), key=lambda k: list(_COLOURS).index(tiles[k].side)
    )
    for k in progress(order, len(order), "Drawing tiles"):
        (top, left), (bottom, right) = starts[k], stops[k]
        image = read_image(tiles[k].sample.image, first=True)
        image = resize_image(image, (bottom - top, right - left))
        picture[top:bottom, left:right] = _framed(image, tiles[k].side)
    return picture


def _framed(image, side):
    """A tile tinted and framed in the colour of its side."""
    colour = np.array(_COLOURS[side])
    tinted = image + _TINT * (colour - image)
    width = min(_BORDER, min(image.shape[:2]) // 4)
    if width:
        frame = np.ones(image.shape[:2], bool)
        frame[width:-width, width:-width] = False
        tinted[frame] = colour
    return np.rint(tinted).astype(np.uint8)
