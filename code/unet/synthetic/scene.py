"""A drawn scene: its canvas, and the noise that everything is made of."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft
from shapely import affinity
from shapely.geometry import Polygon, box
from skimage import draw

from unet.synthetic.materials import LANDS, MATERIALS, PAVED, palette

# Ground drawn around the picture in metres, so that things just outside cast
# their shadows into it.
MARGIN = 5
# Side of the picture on the canvas, at least, in canvas pixels.
CANVAS = 512


@dataclass
class Building:
    """One roof: where it stands, how it is put together, what covers it.

    ``wings`` are rectangles (u, v, length, width) in metres about the centre,
    u along ``angle``; ``outline`` is a polygon in metres.
    """

    x: float
    y: float
    angle: float
    wings: list
    outline: Polygon
    form: str
    cover: str


@dataclass
class Scene:
    """A picture in the making; world units are metres, y points down.

    The origin is the top-left corner of the picture, which is ``size`` pixels
    and ``extent`` metres a side. ``albedo`` (side, side, 3) in 0..1 and
    ``height`` (side, side) in metres, both float32, cover the picture and a
    margin of ``edge`` canvas pixels.
    """

    rng: np.random.Generator
    style: dict
    size: int
    extent: float

    def __post_init__(self):
        """Draw what holds for the whole scene, and lay out a bare canvas."""
        rng = self.rng
        self.oversample = max(2, -(-CANVAS // self.size))
        self.pixel = self.extent / self.size
        self.step = self.pixel / self.oversample
        self.edge = round(MARGIN / self.step)
        self.side = self.size * self.oversample + 2 * self.edge
        self.land = palette(LANDS[rng.integers(len(LANDS))] + PAVED)
        self.sun, self.heading = rng.uniform(0, 2 * np.pi, 2)
        # A place has its fashions: some roof colours come again and again.
        self.fashion = rng.random(8) ** 3 + 0.02
        self.albedo = np.zeros((self.side, self.side, 3), np.float32)
        self.height = np.zeros((self.side, self.side), np.float32)
        period = fft.next_fast_len(self.side, real=True)
        self.clouds = fractal(rng, period, 3 / self.step, 1.2)
        self.roads, self.buildings = [], []

    def canvas(self, points):
        """Turn metres (n, 2) into canvas pixel indices (n, 2), float."""
        return np.asarray(points) / self.step + self.edge - 0.5

    def metres(self, rows, cols):
        """Turn canvas pixel indices into x and y of pixel centres."""
        shift = 0.5 - self.edge
        return (cols + shift) * self.step, (rows + shift) * self.step

    def inside(self, outline):
        """Rows and columns of the canvas pixels centred in ``outline``."""
        xy = self.canvas(outline.exterior.coords)
        return draw.polygon(xy[:, 1], xy[:, 0], self.height.shape)

    def distance(self, outlines=(), lines=()):
        """Metres from each canvas pixel to the nearest of some shapes."""
        free = np.full(self.height.shape, 255, np.uint8)
        for outline in outlines:
            free[self.inside(outline)] = 0
        for line in lines:
            points = np.round(self.canvas(line.coords)).astype(np.int32)
            cv2.polylines(free, [points], False, 0)
        away = cv2.distanceTransform(free, cv2.DIST_L2, 5)
        # Where there is no shape at all OpenCV answers with a huge number.
        return np.minimum(away, 2 * self.side) * np.float32(self.step)

    def noise(self, scale, roughness=1.4):
        """Fractal noise (side, side) whose largest lumps are ``scale`` m."""
        # Half the resolution is fine enough for the picture, and faster.
        coarse = fft.next_fast_len(self.side // 2, real=True)
        half = fractal(self.rng, coarse, scale / self.step / 2, roughness)
        return cv2.resize(half, (self.side, self.side))

    def streaks(self, s, t, stretch):
        """Noise at roof positions ``s``, ``t`` (m), long along ``t``."""
        row, col = self.rng.uniform(0, self.side, 2)
        row, col = s / self.step + row, t / self.step / stretch + col
        side = len(self.clouds)
        return self.clouds[row.astype(int) % side, col.astype(int) % side]

    def blend(self, colour, weight):
        """Mix ``colour`` into the albedo by ``weight`` (side, side)."""
        self.albedo += (colour - self.albedo) * weight[..., None]

    def colour(self, material, spread=0.05):
        """One of a material's colours, (3,) in 0..1."""
        first, second = self.land.reshape(-1, 2, 3)[MATERIALS.index(material)]
        mix = first + (second - first) * self.rng.random()
        return vary(self.rng, mix, spread)


def fractal(rng, side, lump, roughness):
    """Periodic noise, float32 (side, side), mean 0, standard deviation 1.

    The largest features measure ``lump`` pixels; the higher ``roughness``,
    the less fine detail.
    """
    white = rng.standard_normal((side, side), dtype=np.float32)
    fy, fx = fft.fftfreq(side), fft.rfftfreq(side)
    gain = (1 / lump**2 + fy[:, None] ** 2 + fx**2) ** (-roughness / 2)
    gain[0, 0] = 0
    spectrum = fft.rfft2(white) * gain.astype(np.float32)
    smooth = fft.irfft2(spectrum, s=white.shape)
    return smooth / smooth.std()


def smoothstep(values, low, high):
    """Rise from 0 to 1 between ``low`` and ``high``."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def vary(rng, colour, spread):
    """Shift a colour (3,) in brightness and, less, in hue."""
    change = rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    return np.clip(colour * (1 + change), 0.03, 0.97).astype(np.float32)


def choose(rng, names, weights):
    """Draw one of ``names``."""
    share = np.array(weights[: len(names)], dtype=float)
    return names[rng.choice(len(share), p=share / share.sum())]


def rotated(angle, u, v):
    """Turn the vector (u, v) by ``angle`` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return u * cos - v * sin, u * sin + v * cos


def rectangle(x, y, angle, length, width):
    """A rectangle about (x, y), its length along ``angle``."""
    flat = box(x - length / 2, y - width / 2, x + length / 2, y + width / 2)
    return affinity.rotate(flat, angle, use_radians=True)
