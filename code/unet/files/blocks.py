"""Tiles that share ground, and blocks of ground that stay on one side."""

from dataclasses import dataclass

import numpy as np
import shapely

from unet.files.tile_names import tile_name

# Tiles a side of a block, if that leaves so many blocks to choose from.
_LARGEST, _FEWEST = 4, 12
# Share of a tile that rounding on the ground may make two tiles share.
_HAIR = 1e-3


@dataclass(frozen=True)
class Footprint:
    """The ground that a tile shows.

    Attributes:
        plane: the tiles of one plane alone can share ground: a scene's name,
            or "ground" where places on Earth are known.
        outline: ``shapely.Polygon``, four corners; y runs down. Pixels of
            the tile in a scene, metres on the ground.
    """

    plane: str
    outline: shapely.Polygon


def named_footprints(names):
    """What the names of samples say.

    Returns:
        List with a ``Footprint`` in pixels of each tile, None of others.
    """
    tiles = map(tile_name, names)
    return [
        tile
        and Footprint(
            tile.scene,
            shapely.box(
                tile.column,
                tile.row,
                tile.column + tile.size,
                tile.row + tile.size,
            ),
        )
        for tile in tiles
    ]


def block_names(footprints, side=None):
    """Divide the ground into square blocks.

    A tile belongs to the block in which its centre lies.

    Args:
        footprints: list of ``Footprint``.
        side: of a block, in the unit of the footprints; None: four tiles, or
            fewer where that would leave less than a dozen blocks.

    Returns:
        A name for each footprint: ``PLANE block ROW COLUMN``.
    """
    if side is not None:
        return _blocks(footprints, side)
    outlines = [footprint.outline for footprint in footprints]
    tile = float(np.sqrt(np.median(shapely.area(outlines))))
    for tiles in range(_LARGEST, 0, -1):
        names = _blocks(footprints, tiles * tile)
        if len(set(names)) >= _FEWEST:
            break
    return names


def _blocks(footprints, side):
    names = [""] * len(footprints)
    for plane, members in _by_plane(footprints).items():
        outlines = [footprints[k].outline for k in members]
        origin = np.array(shapely.total_bounds(outlines)[:2])
        centres = shapely.get_coordinates(shapely.centroid(outlines))
        places = np.floor((centres - origin) / side).astype(int).tolist()
        for k, (column, row) in zip(members, places, strict=True):
            names[k] = f"{plane} block {row} {column}"
    return names


def sharing(footprints, margin=0.0):
    """Which tiles share ground, or are nearer than a margin.

    Args:
        footprints: list of ``Footprint`` or None.
        margin: in the unit of the footprints; 0: tiles that touch share
            nothing.

    Returns:
        For each footprint the set of the others' numbers.
    """
    result = [set() for _ in footprints]
    for members in _by_plane(footprints).values():
        outlines = np.array([footprints[k].outline for k in members])
        tree = shapely.STRtree(outlines)
        if margin:
            first, second = tree.query(outlines, "dwithin", distance=margin)
        else:
            first, second = tree.query(outlines, "intersects")
            both = shapely.intersection(outlines[first], outlines[second])
            share = shapely.area(both) / shapely.area(outlines[first])
            first, second = first[share > _HAIR], second[share > _HAIR]
        for i, j in zip(first.tolist(), second.tolist(), strict=True):
            if i != j:
                result[members[i]].add(members[j])
    return result


def _by_plane(footprints):
    """Numbers of the footprints in each plane."""
    planes = {}
    for k, footprint in enumerate(footprints):
        if footprint is not None:
            planes.setdefault(footprint.plane, []).append(k)
    return planes


class Groups(list):
    """One group per sample, a text.

    Attributes:
        near: per sample the set of the other groups whose ground it shows
            as well: it may not train while they validate.
    """

    def __init__(self, groups, neighbours=None):
        """Take groups, and of each sample its neighbours: see ``sharing``."""
        super().__init__(groups)
        neighbours = neighbours or [()] * len(self)
        self.near = [
            {self[k] for k in others} - {group}
            for group, others in zip(self, neighbours, strict=True)
        ]

    def beside(self, chosen):
        """Samples that are not chosen and share ground with chosen ones.

        Args:
            chosen: bool array, one per sample; groups are whole.

        Returns:
            bool array.
        """
        groups = {g for g, taken in zip(self, chosen, strict=True) if taken}
        shared = [bool(near & groups) for near in self.near]
        return np.array(shared, bool) & ~np.asarray(chosen)
