"""Where the tiles of a scene lie."""

from dataclasses import dataclass

from unet.files.errors import DataError
from unet.files.tile_names import TileName


@dataclass(frozen=True)
class Cut:
    """How scenes are cut.

    Attributes:
        size: side of a tile in pixels.
        resolution: metres a pixel of the tiles; None: the scene's own.
        overlap: share of a tile that the next one shows too, 0 to below 1.
        keep_empty: share of the tiles without an object that are written.
    """

    size: int = 256
    resolution: float | None = None
    overlap: float = 0.0
    keep_empty: float = 1.0


@dataclass(frozen=True)
class TileGrid:
    """The tiles of a scene.

    Attributes:
        scene: its name.
        shape: (H, W) of the scene at the resolution of the tiles.
        factors: pixels of a tile for one of the scene, by rows and columns.
        size: side of a tile.
        rows, columns: first pixels of the tiles, increasing.
        place: ``Georeference`` of the scene at that resolution, or None.
    """

    scene: str
    shape: tuple[int, int]
    factors: tuple[float, float]
    size: int
    rows: list[int]
    columns: list[int]
    place: object = None

    def name(self, row, column):
        """A tile's name, as text."""
        return str(TileName(self.scene, row, column, self.size))

    @property
    def pixels(self):
        """How many the scene has at that resolution."""
        return self.shape[0] * self.shape[1]

    @property
    def beyond(self):
        """How many at its lower and right border lie on no tile."""
        bottom, right = self.rows[-1] + self.size, self.columns[-1] + self.size
        return self.pixels - bottom * right


def tile_grid(name, scene, cut):
    """Lay tiles over a scene.

    Args:
        name: of the scene.
        scene: ``unet.imagery.rasters.Scene``.
        cut: ``Cut``.

    Returns:
        ``TileGrid``.

    Raises:
        DataError: the scene is smaller than a tile, or nobody knows its
            resolution, which the tiles are to have.
    """
    shape = scene.shape
    if cut.resolution:
        shape = _resampled(scene, cut.resolution)
    if min(shape) < cut.size:
        at = f" at {cut.resolution:g} m a pixel" if cut.resolution else ""
        raise DataError(
            f"{scene.path}: expected a scene of at least {cut.size} x "
            f"{cut.size} pixels, the size of a tile, found {shape[1]} x "
            f"{shape[0]} (width x height){at}. Take smaller tiles, or leave "
            "the scene out."
        )
    factors = tuple(n / m for n, m in zip(shape, scene.shape, strict=True))
    place = scene.place and scene.place.scaled(*factors)
    rows, columns = (_starts(n, cut.size, cut.overlap) for n in shape)
    return TileGrid(name, shape, factors, cut.size, rows, columns, place)


def _resampled(scene, resolution):
    """(H, W) of a scene at so many metres a pixel."""
    known = scene.place and scene.place.resolution(scene.shape)
    if not known:
        raise DataError(
            f"{scene.path}: expected a scene with a place on the ground, to "
            f"have tiles of {resolution:g} m a pixel, found none. Export it "
            "as GeoTIFF with its place, or leave the resolution as it is."
        )
    return tuple(
        max(1, round(n * metres / resolution))
        for n, metres in zip(scene.shape, known, strict=True)
    )


def _starts(length, size, overlap):
    """First pixels of tiles along a side.

    What is left at the end gets a tile that overlaps the one before, if at
    least half a step is left: less is hardly worth seeing most of it again.

    >>> _starts(1000, 256, 0)
    [0, 256, 512, 744]
    >>> _starts(800, 256, 0)
    [0, 256, 512]
    >>> _starts(640, 256, 0.5)
    [0, 128, 256, 384]
    """
    step = max(1, round(size * (1 - overlap)))
    starts = list(range(0, length - size + 1, step))
    left = length - size - starts[-1]
    if left >= step / 2:
        starts.append(length - size)
    return starts
