"""What tiles of scenes are called, and so which ground they show."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"(.+)_r(\d+)_c(\d+)_s(\d+)")


@dataclass(frozen=True)
class TileName:
    """A tile's name: its scene and its place there, in pixels of the tile.

    Attributes:
        scene: the scene's name.
        row, column: of its top-left pixel in the scene.
        size: its side.

    >>> print(TileName("banepa", 256, 1024, 256))
    banepa_r00256_c01024_s256
    """

    scene: str
    row: int
    column: int
    size: int

    def __str__(self):
        return f"{self.scene}_r{self.row:05}_c{self.column:05}_s{self.size}"


def tile_name(name):
    """The ``TileName`` that a sample's name says; None: it is no tile.

    >>> tile_name("banepa_r00256_c01024_s256").column
    1024
    >>> tile_name("Folder_17") is None
    True
    """
    match = _NAME.fullmatch(name)
    return match and TileName(match[1], *map(int, match.groups()[1:]))
