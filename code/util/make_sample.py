"""Make synthetic overhead scenes with building polygons.

Every scene is drawn as an albedo map and a height map, both at twice the
final resolution.  One sun then lights the height map, so that the facets of
roofs, the sides of tree crowns and all cast shadows agree with each other.
"""

import argparse
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from scipy import fft, ndimage
from shapely import affinity
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box
from shapely.ops import unary_union
from skimage import draw
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
OVERSAMPLE = 2
# Pixels drawn around the picture, so that things just outside cast shadows
# into it.
MARGIN = 24
RUST = np.array([128, 80, 56]) / 255

# Typical colours (red, green, blue; 0..255): two each, mixed by noise.
LANDS = {
    "red soil": {
        "soil": [(178, 116, 78), (205, 156, 114)],
        "grass": [(98, 116, 54), (142, 144, 82)],
        "tree": [(66, 90, 40), (104, 122, 60)],
    },
    "dry": {
        "soil": [(152, 134, 104), (190, 170, 132)],
        "grass": [(122, 122, 76), (160, 152, 104)],
        "tree": [(82, 94, 54), (112, 116, 70)],
    },
    "grey": {
        "soil": [(128, 118, 104), (162, 150, 130)],
        "grass": [(84, 98, 54), (120, 122, 78)],
        "tree": [(62, 80, 44), (92, 106, 58)],
    },
    "humid": {
        "soil": [(140, 126, 104), (172, 160, 138)],
        "grass": [(86, 116, 52), (130, 146, 80)],
        "tree": [(58, 92, 36), (100, 132, 56)],
    },
    "cool": {
        "soil": [(118, 112, 98), (150, 142, 126)],
        "grass": [(92, 110, 70), (128, 136, 94)],
        "tree": [(54, 76, 54), (84, 102, 68)],
    },
}
PAVINGS = {
    "asphalt": (118, 117, 116),
    "concrete": (168, 162, 152),
    "dirt": None,
    "track": None,
}
COLOURS = {
    "metal": [
        (172, 180, 188),
        (214, 216, 214),
        (192, 192, 188),
        (150, 108, 84),
        (158, 66, 62),
        (78, 122, 172),
        (104, 128, 108),
        (126, 96, 84),
    ],
    "tile": [(188, 104, 72), (198, 130, 98), (156, 90, 70), (134, 88, 76)],
    "slate": [(98, 100, 104), (122, 116, 110), (88, 82, 78)],
    "concrete": [
        (168, 163, 153),
        (198, 193, 184),
        (138, 133, 126),
        (176, 152, 138),
        (150, 104, 90),
    ],
}
CARS = [(225, 225, 225), (60, 62, 66), (150, 30, 30), (40, 60, 110)]
CARS += [(170, 172, 175), (235, 235, 230)]


@dataclass(frozen=True)
class Style:
    """What one kind of place looks like; lengths in metres.

    Pairs are (lowest, highest) of a uniform draw.  ``roofs`` maps
    "form material" to a weight, ``trees`` counts per 1000 square metres.
    """

    chance: float
    pixel: tuple
    grass: tuple
    pavings: tuple
    road_width: tuple
    share: tuple = (0, 0)
    crossing: float = 0
    setback: tuple = (1, 3)
    gap: tuple = (1, 3)
    terraced: float = 0
    frontage: tuple = (8, 12)
    depth: tuple = (7, 10)
    shed: tuple = (2.5, 5)
    roofs: dict = field(default_factory=dict)
    trees: tuple = (2, 8)
    fields: float = 0
    walls: float = 0
    cars: int = 0
    spread: float = 99


STYLES = {
    "town": Style(
        chance=0.26,
        pixel=(0.15, 0.22),
        grass=(0.05, 0.4),
        pavings=("asphalt", "concrete", "dirt"),
        road_width=(4, 7),
        share=(0.26, 0.38),
        crossing=0.7,
        setback=(0.4, 1.5),
        gap=(0.5, 2),
        terraced=0.5,
        frontage=(6, 11),
        depth=(7, 12),
        roofs={
            "flat concrete": 5,
            "gable metal": 3,
            "shed metal": 2,
            "hip tile": 1,
        },
        trees=(1, 5),
        walls=0.6,
        cars=5,
    ),
    "village": Style(
        chance=0.24,
        pixel=(0.15, 0.23),
        grass=(0.3, 0.7),
        pavings=("dirt", "dirt", "track"),
        road_width=(3, 5),
        share=(0.12, 0.25),
        crossing=0.3,
        setback=(2, 6),
        gap=(2, 6),
        frontage=(7, 13),
        depth=(6, 9),
        roofs={
            "gable metal": 6,
            "hip metal": 3,
            "shed metal": 2,
            "gable tile": 1,
            "flat concrete": 1,
        },
        trees=(3, 10),
        fields=0.25,
        walls=0.35,
        cars=1,
    ),
    "suburb": Style(
        chance=0.2,
        pixel=(0.17, 0.25),
        grass=(0.7, 0.95),
        pavings=("asphalt",),
        road_width=(5, 7),
        share=(0.16, 0.28),
        crossing=0.4,
        setback=(3, 6),
        gap=(2, 5),
        terraced=0.2,
        frontage=(9, 15),
        depth=(8, 11),
        roofs={
            "hip tile": 4,
            "gable tile": 4,
            "gable slate": 3,
            "hip slate": 3,
            "flat concrete": 1,
        },
        trees=(3, 9),
        walls=0.7,
        cars=5,
    ),
    "farm": Style(
        chance=0.12,
        pixel=(0.17, 0.25),
        grass=(0.4, 0.8),
        pavings=("dirt", "track"),
        road_width=(2.5, 4),
        share=(0.09, 0.16),
        frontage=(10, 20),
        depth=(7, 11),
        shed=(3, 6),
        roofs={
            "gable metal": 5,
            "gable tile": 2,
            "hip tile": 2,
            "shed metal": 2,
            "cone metal": 2,
        },
        trees=(2, 6),
        fields=1,
        cars=2,
        spread=17,
    ),
    "works": Style(
        chance=0.06,
        pixel=(0.2, 0.26),
        grass=(0.05, 0.3),
        pavings=("asphalt", "concrete"),
        road_width=(6, 9),
        share=(0.25, 0.35),
        setback=(3, 6),
        gap=(3, 6),
        frontage=(16, 28),
        depth=(12, 18),
        shed=(4, 8),
        roofs={"gable metal": 5, "flat concrete": 3, "cone metal": 3},
        trees=(0.5, 2),
        walls=0.3,
        cars=9,
    ),
    "open land": Style(
        chance=0.12,
        pixel=(0.15, 0.25),
        grass=(0.2, 0.95),
        pavings=("dirt", "track", "track", "asphalt"),
        road_width=(2, 5),
        trees=(2, 16),
        fields=0.6,
    ),
}
# Forest is drawn apart from open land, since its crowns cover the ground.
STYLES["forest"] = Style(
    chance=0.04,
    pixel=(0.15, 0.25),
    grass=(0.4, 0.8),
    pavings=("track",),
    road_width=(2, 4),
    trees=(45, 70),
)


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
    material: str
    eaves: float


@dataclass
class Scene:
    """A picture in the making; world units are metres, y points down.

    The origin is the top-left corner of the final picture.  ``albedo``
    (side, side, 3) float32 in 0..1 and ``height`` (side, side) float32 in
    metres cover the picture and its margin at ``OVERSAMPLE`` resolution.
    """

    rng: np.random.Generator
    size: int
    style: Style
    pixel: float
    land: dict
    sun: float
    heading: float
    albedo: np.ndarray
    height: np.ndarray
    clouds: np.ndarray
    roads: list = field(default_factory=list)
    buildings: list = field(default_factory=list)

    @property
    def extent(self):
        """Side of the final picture in metres."""
        return self.size * self.pixel

    @property
    def side(self):
        """Side of the canvas in canvas pixels."""
        return self.height.shape[0]

    def canvas(self, points):
        """Turn metres (n, 2) into canvas pixel indices (n, 2), float."""
        points = np.asarray(points, dtype=float) / self.pixel
        return (points + MARGIN) * OVERSAMPLE - 0.5

    def metres(self, rows, cols):
        """Turn canvas pixel indices into x and y of pixel centres."""
        scale = self.pixel / OVERSAMPLE
        shift = MARGIN * self.pixel
        return (cols + 0.5) * scale - shift, (rows + 0.5) * scale - shift

    def grid(self):
        """X and y of all canvas pixel centres in metres, (side, side)."""
        return self.metres(*np.mgrid[: self.side, : self.side])

    def inside(self, outline):
        """Rows and columns of the canvas pixels centred in ``outline``."""
        xy = self.canvas(outline.exterior.coords)
        return draw.polygon(xy[:, 1], xy[:, 0], self.height.shape)

    def distance(self, line):
        """Metres from each canvas pixel to ``line``, (side, side)."""
        empty = np.full(self.height.shape, 255, np.uint8)
        points = np.round(self.canvas(line.coords)).astype(np.int32)
        cv2.polylines(empty, [points], False, 0)
        scale = self.pixel / OVERSAMPLE
        return cv2.distanceTransform(empty, cv2.DIST_L2, 5) * scale

    def noise(self, scale, roughness=1.4):
        """Fractal noise (side, side) whose largest lumps are ``scale`` m."""
        lump = scale / self.pixel * OVERSAMPLE
        return fractal(self.rng, self.side, lump, roughness)

    def streaks(self, s, t, stretch):
        """Noise at roof positions ``s``, ``t`` (m), long along ``t``."""
        start = self.rng.uniform(0, self.side, 2)
        scale = OVERSAMPLE / self.pixel
        at = [s * scale + start[0], t * scale / stretch + start[1]]
        return ndimage.map_coordinates(
            self.clouds, at, order=1, mode="grid-wrap"
        )

    def blend(self, colour, weight):
        """Mix ``colour`` into the albedo by ``weight`` (side, side)."""
        self.albedo += (colour - self.albedo) * weight[..., None]

    def colour(self, name, spread=0.05):
        """One of the land's colours, varied; (3,) in 0..1."""
        first, second = np.array(self.land[name]) / 255
        mixed = first + (second - first) * self.rng.random()
        return vary(self.rng, mixed, spread)


def fractal(rng, side, lump, roughness):
    """Periodic noise (side, side) float32, mean 0, standard deviation 1.

    ``lump`` is the size of the largest features in pixels; a higher
    ``roughness`` leaves less fine detail.
    """
    white = rng.standard_normal((side, side), dtype=np.float32)
    fy, fx = fft.fftfreq(side), fft.rfftfreq(side)
    radius = fy[:, None] ** 2 + fx**2
    gain = (1 / lump**2 + radius) ** (-roughness / 2)
    gain[0, 0] = 0
    smooth = fft.irfft2(fft.rfft2(white) * gain.astype(np.float32), s=(side,) * 2)
    return smooth / smooth.std()


def smoothstep(values, low, high):
    """Rise from 0 to 1 between ``low`` and ``high``."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def vary(rng, colour, spread):
    """Shift a colour (3,) in brightness and, less, in hue."""
    change = rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    return np.clip(np.asarray(colour) * (1 + change), 0.03, 0.97)


def pick(rng, weights):
    """Draw a key of ``weights`` (name to weight)."""
    share = np.array(list(weights.values()), dtype=float)
    return list(weights)[rng.choice(len(share), p=share / share.sum())]


def rotated(angle, u, v):
    """Turn the vector (u, v) by ``angle`` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return u * cos - v * sin, u * sin + v * cos


def new_scene(rng, size):
    """Draw a style, a land and a sun, and lay out an empty canvas."""
    style = STYLES[pick(rng, {k: s.chance for k, s in STYLES.items()})]
    side = (size + 2 * MARGIN) * OVERSAMPLE
    return Scene(
        rng=rng,
        size=size,
        style=style,
        pixel=rng.uniform(*style.pixel),
        land=LANDS[list(LANDS)[rng.integers(len(LANDS))]],
        sun=rng.uniform(0, 2 * np.pi),
        heading=rng.uniform(0, 2 * np.pi),
        albedo=np.zeros((side, side, 3), np.float32),
        height=np.zeros((side, side), np.float32),
        clouds=fractal(rng, side, 30, 1.2),
    )


# Layout: decide where roads and buildings lie, before anything is drawn.


def curve(scene, x, y, heading, bend):
    """A road line through (x, y) that bends by about ``bend`` metres."""
    rng, reach = scene.rng, 1.5 * scene.extent
    u = np.linspace(-reach, reach, 61)
    v = bend * (u / scene.extent) ** 2 * rng.normal(0, 1)
    v += bend * 0.4 * np.sin(u / scene.extent * 4 + rng.uniform(0, 6))
    dx, dy = rotated(heading, u, v)
    return LineString(np.c_[x + dx, y + dy])


def lay_roads(scene):
    """Choose one road, perhaps with a second one across it."""
    rng, style, extent = scene.rng, scene.style, scene.extent
    x, y = rng.uniform(0.2, 0.8, 2) * extent
    kind = style.pavings[rng.integers(len(style.pavings))]
    bend = extent * (0.15 if kind in ("dirt", "track") else 0.05)
    width = rng.uniform(*style.road_width)
    line = curve(scene, x, y, scene.heading, bend)
    scene.roads.append((line, width, kind))
    if rng.random() < style.crossing:
        at = line.interpolate(line.length / 2 + rng.normal(0, extent / 6))
        across = scene.heading + np.pi / 2 + rng.normal(0, 0.08)
        side_line = curve(scene, at.x, at.y, across, bend / 2)
        scene.roads.append((side_line, width * rng.uniform(0.5, 1), kind))


def wings_of(rng, length, width):
    """Rectangles (u, v, length, width) of a plain, L- or T-shaped plan."""
    if min(length, width) < 5.5 or rng.random() < 0.6:
        return [(0, 0, length, width)]
    main = width * rng.uniform(0.5, 0.65)
    cross = length * rng.uniform(0.35, 0.5)
    end = rng.choice([-1, 0, 1]) * (length - cross) / 2
    return [
        (0, (main - width) / 2, length, main),
        (end, 0, cross, width),
    ]


def new_building(scene, x, y, angle, length, width):
    """Make a building of the scene's style; it is not placed yet."""
    rng, pixel = scene.rng, scene.pixel
    form, material = pick(rng, scene.style.roofs).split()
    wings = wings_of(rng, length, width)
    if form == "cone":
        radius = min(width, 9) / 2
        wings = [(0, 0, 2 * radius, 2 * radius)]
        outline = Point(0, 0).buffer(radius, quad_segs=8)
    else:
        outline = unary_union(
            [box(u - a / 2, v - b / 2, u + a / 2, v + b / 2)
             for u, v, a, b in wings]
        ).simplify(0.01)  # fmt: skip
    outline = affinity.rotate(outline, angle, (0, 0), use_radians=True)
    outline = affinity.translate(outline, x, y)
    # The truth is written in tenths of a pixel: draw exactly that.
    tenths = np.round(np.array(outline.exterior.coords) / pixel, 1)
    outline = Polygon(tenths * pixel)
    low = min(length, width) < 5
    eaves = rng.uniform(2, 2.8) if low else rng.uniform(2.8, 4.5)
    if form == "flat" and not low:
        eaves += rng.choice([0, 3])
    return Building(x, y, angle, wings, outline, form, material, eaves)


def is_free(scene, outline, gap):
    """Whether ``outline`` keeps ``gap`` metres from all there is."""
    wide = outline.buffer(gap)
    taken = [b.outline for b in scene.buildings]
    taken += [line.buffer(width / 2) for line, width, _ in scene.roads]
    return not any(wide.intersects(other) for other in taken)


def built_share(scene):
    """Share of the final picture that roofs cover, 0..1."""
    frame = box(0, 0, scene.extent, scene.extent)
    area = sum(b.outline.intersection(frame).area for b in scene.buildings)
    return area / frame.area


def place(scene, x, y, angle, length, width, gap):
    """Place one building if there is room; say whether there was."""
    building = new_building(scene, x, y, angle, length, width)
    if is_free(scene, building.outline, gap):
        scene.buildings.append(building)
        return True
    return False


def place_terrace(scene, x, y, angle, length, width, gap):
    """Place 2 to 5 houses that share their side walls, fronts in line."""
    count = scene.rng.integers(2, 6)
    middle = (count - 1) / 2
    row = []
    for i in range(count):
        deep = width * scene.rng.uniform(0.85, 1)
        step = rotated(angle, (i - middle) * length, (deep - width) / 2)
        house = new_building(scene, x + step[0], y + step[1], angle, length, deep)
        row.append(house)
    if all(is_free(scene, house.outline, gap) for house in row):
        scene.buildings.extend(row)


def place_along(scene, line, road_width):
    """Line both sides of a road with buildings that face it."""
    rng, style = scene.rng, scene.style
    for side in (-1, 1):
        at = rng.uniform(0, 5)
        while at < line.length:
            length, depth = rng.uniform(*style.frontage), rng.uniform(*style.depth)
            here, there = line.interpolate(at), line.interpolate(at + 1)
            angle = np.arctan2(there.y - here.y, there.x - here.x)
            away = road_width / 2 + rng.uniform(*style.setback) + depth / 2
            dx, dy = rotated(angle, 0, side * away)
            put = place_terrace if rng.random() < style.terraced else place
            near = abs(here.x + dx - scene.extent / 2) < 0.7 * scene.extent
            near &= abs(here.y + dy - scene.extent / 2) < 0.7 * scene.extent
            if near and built_share(scene) < style.share[1] - 0.03:
                # A turned house keeps its front on the side of the road.
                turn = 0 if side > 0 else np.pi
                put(
                    scene, here.x + dx, here.y + dy, angle + turn, length,
                    depth, 0.3,
                )  # fmt: skip
            at += length + rng.uniform(*style.gap)


def fill_in(scene):
    """Add houses and sheds behind the road until enough is built on."""
    rng, style, extent = scene.rng, scene.style, scene.extent
    target = rng.uniform(*style.share)
    middle = rng.uniform(0.3, 0.7, 2) * extent
    for attempt in range(150):
        if built_share(scene) >= target:
            return
        x, y = rng.uniform(-0.05, 1.05, 2) * extent
        if np.hypot(x - middle[0], y - middle[1]) > style.spread:
            continue
        small = rng.random() < 0.3 or attempt > 100
        length = rng.uniform(*(style.shed if small else style.frontage))
        width = rng.uniform(*(style.shed if small else style.depth))
        turn = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.05)
        place(scene, x, y, scene.heading + turn, length, width, rng.uniform(0.4, 2))


def lay_out(scene):
    """Decide on all roads and buildings of the scene."""
    lay_roads(scene)
    if scene.style.roofs:
        if scene.style.spread > scene.extent:
            for line, width, _ in list(scene.roads):
                place_along(scene, line, width)
        fill_in(scene)


# Ground: everything that lies flat.


def ground(scene):
    """Cover the canvas with grass and bare soil, mixed by noise."""
    rng = scene.rng
    share = rng.uniform(*scene.style.grass)
    cover = scene.noise(14, 1.7) + 0.35 * scene.noise(2, 1.2)
    limit = np.quantile(cover, 1 - share)
    green = smoothstep(cover, limit - 0.5, limit + 0.5)[..., None]
    layers = []
    for name in ("soil", "grass"):
        mix = smoothstep(scene.noise(5, 1.5), -1.5, 1.5)[..., None]
        one, two = scene.colour(name), scene.colour(name)
        layers.append(one + (two - one) * mix)
    scene.albedo[:] = layers[0] + (layers[1] - layers[0]) * green
    fine = scene.noise(0.8, 0.9)
    scene.albedo *= 1 + 0.05 * (fine + 0.6 * scene.noise(6))[..., None]
    scene.height += (0.02 + 0.05 * green[..., 0]) * fine


def fields(scene):
    """Cut the land into strips, each ploughed, sown, stubble or fallow."""
    rng, reach = scene.rng, scene.extent
    x, y = scene.grid()
    u, v = rotated(-scene.heading, x - reach / 2, y - reach / 2)
    wander = 0.5 * scene.noise(10, 1.8)
    u, v = u + wander, v + wander
    low = -reach
    while low < reach:
        high = low + rng.uniform(8, 22)
        left = -reach
        while left < reach:
            right = left + rng.uniform(15, 50)
            edge = np.minimum(
                np.minimum(v - low, high - v), np.minimum(u - left, right - u)
            )
            if (edge > 0).any():
                field_plot(scene, v, edge)
            left = right
        low = high


def field_plot(scene, v, edge):
    """Draw one field; ``v`` runs across its rows, ``edge`` m to its rim."""
    rng = scene.rng
    kind = pick(rng, {"ploughed": 3, "rows": 3, "stubble": 2, "fallow": 2})
    if kind == "fallow":
        return
    mask = smoothstep(edge + 0.2 * scene.noise(1.5), 0.4, 1.0)
    spacing = rng.uniform(0.7, 1.6)
    wave = np.sin(2 * np.pi * v / spacing + 0.5 * scene.noise(3))
    patchy = scene.noise(4)
    soil, green = scene.colour("soil", 0.08) * 0.9, scene.colour("grass")
    scene.blend(soil * (1 + 0.05 * patchy[..., None]), mask * 0.9)
    if kind == "rows":
        thick = rng.uniform(-0.6, 0.6)
        plants = smoothstep(wave + 0.5 * patchy, thick, thick + 0.8)
        scene.blend(green * 0.9, mask * plants)
        scene.height += mask * plants * 0.25
    elif kind == "ploughed":
        scene.height += mask * wave * 0.05
    else:
        pale = np.array([186, 168, 116]) / 255
        scene.blend(pale, mask * smoothstep(wave + patchy, -1.5, 2) * 0.6)
        scene.height += mask * wave * 0.02


def road(scene, line, width, kind):
    """Draw a road with worn edges, wheel tracks and, if paved, repairs."""
    rng = scene.rng
    away = scene.distance(line)
    ragged = 0.12 if PAVINGS[kind] else 0.4
    edge = away + ragged * scene.noise(2, 1.2)
    soil = scene.colour("soil") * 1.06
    base = np.array(PAVINGS[kind]) / 255 if PAVINGS[kind] else soil
    base = vary(rng, base, 0.08)
    patchy = 1 + 0.05 * scene.noise(6, 1.5) + 0.03 * scene.noise(0.5, 0.8)
    shoulder = 1 - smoothstep(edge, width / 2, width / 2 + 1.2)
    scene.blend(soil, shoulder * 0.7)
    on_road = 1 - smoothstep(edge, width / 2 - 0.3, width / 2)
    if kind == "track":
        middle = smoothstep(away + 0.2 * scene.noise(1), 0.15, 0.5)
        on_road = on_road * (0.25 + 0.75 * middle)
    scene.blend(base * patchy[..., None], on_road)
    scene.height *= 1 - 0.9 * on_road
    wheels = np.exp(-(((away - width / 4) / 0.4) ** 2)) * on_road
    scene.albedo *= 1 - 0.07 * (wheels * patchy)[..., None]
    if kind == "asphalt":
        dust = smoothstep(scene.noise(5), 0.3, 2.2) * on_road
        scene.blend(soil, 0.5 * dust)
        if rng.random() < 0.5:
            markings(scene, line, on_road)


def markings(scene, line, on_road):
    """Paint a worn, broken centre line."""
    paint = np.zeros(scene.height.shape, np.uint8)
    for at in np.arange(0, line.length, 4.5):
        ends = [line.interpolate(at).coords[0], line.interpolate(at + 2).coords[0]]
        points = np.round(scene.canvas(ends)).astype(int)
        cv2.line(paint, points[0].tolist(), points[1].tolist(), 1, 1)
    worn = smoothstep(scene.noise(1, 1), -1.5, 1)
    scene.blend(np.array([0.85, 0.84, 0.8]), paint * worn * on_road * 0.8)


def yards(scene):
    """Bare or paved ground around the buildings, with uneven edges."""
    rng = scene.rng
    free = np.full(scene.height.shape, 255, np.uint8)
    for building in scene.buildings:
        free[scene.inside(building.outline)] = 0
    away = cv2.distanceTransform(free, cv2.DIST_L2, 5)
    away = away * scene.pixel / OVERSAMPLE + 1.2 * scene.noise(5, 1.6)
    reach = rng.uniform(0.5, 4)
    weight = 1 - smoothstep(away, reach, reach + 1.2)
    colour = scene.colour("soil", 0.08) * rng.uniform(0.92, 1.1)
    if rng.random() < 0.3:
        colour = vary(rng, np.array(PAVINGS["concrete"]) / 255, 0.08)
    texture = 1 + 0.05 * scene.noise(4) + 0.05 * scene.noise(0.6, 0.8)
    scene.blend(colour * texture[..., None], weight * 0.9)
    scene.height *= 1 - 0.7 * weight


def driveway(scene, building):
    """A path from a building to the nearest road."""
    line, _, _ = scene.roads[0]
    door = Point(building.x, building.y)
    end = line.interpolate(line.project(door))
    path = LineString([door, end])
    if path.length < 18:
        kind = scene.rng.choice(["dirt", "concrete"])
        road(scene, path, scene.rng.uniform(1, 3), str(kind))


# Solid things: they also change the height map.


def slab(scene, x, y, angle, length, width, rise, colour):
    """A box (m) that stands ``rise`` m on whatever is below its centre."""
    outline = affinity.rotate(
        box(x - length / 2, y - width / 2, x + length / 2, y + width / 2),
        angle,
        use_radians=True,
    )
    rows, cols = scene.inside(outline)
    if len(rows):
        scene.height[rows, cols] = np.median(scene.height[rows, cols]) + rise
        grain = 1 + 0.05 * scene.clouds[rows, cols, None]
        scene.albedo[rows, cols] = np.asarray(colour) * grain


def drum(scene, x, y, radius, rise, colour):
    """An upright cylinder with a slightly domed lid, such as a tank."""
    rows, cols = scene.inside(Point(x, y).buffer(radius))
    if len(rows):
        px, py = scene.metres(rows, cols)
        dome = 1 - ((px - x) ** 2 + (py - y) ** 2) / radius**2
        base = np.median(scene.height[rows, cols])
        scene.height[rows, cols] = base + rise + 0.4 * radius * dome
        scene.albedo[rows, cols] = colour


def roof_gable(p, q, a, b):
    """Rise of two planes that meet in a ridge along the longer side.

    Parameters
    ----------
    p, q : ndarray of float, shape (n,)
        Positions along the longer and the shorter side, in metres from the
        centre of the wing.
    a, b : float
        Half of the longer and of the shorter side.

    Returns
    -------
    rise, along, down : ndarray of float, shape (n,)
        Height for a pitch of 1, and position along and down the slope.
    """
    return b - np.abs(q), p, np.where(q > 0, q, 50 - q)


def roof_hip(p, q, a, b):
    """Rise of four planes; arguments and results as in `roof_gable`."""
    end = a - np.abs(p) < b - np.abs(q)
    along = np.where(end, q + 30, p)
    down = np.where(end, np.abs(p) + 90, np.where(q > 0, q, 50 - q))
    return np.minimum(a - np.abs(p), b - np.abs(q)), along, down


def roof_shed(p, q, a, b):
    """Rise of one tilted plane; see `roof_gable`."""
    return 0.5 * (q + b), p, q


def roof_flat(p, q, a, b):
    """Distance to the rim, which the parapet needs; see `roof_gable`."""
    return np.minimum(a - np.abs(p), b - np.abs(q)), p, q


def roof_cone(p, q, a, b):
    """Rise of a flat cone on a round tank; see `roof_gable`."""
    radius = np.hypot(p, q)
    return a - radius, np.arctan2(q, p) * a, radius


FORMS = {
    "gable": (roof_gable, (0.25, 0.7)),
    "hip": (roof_hip, (0.3, 0.6)),
    "shed": (roof_shed, (0.08, 0.25)),
    "flat": (roof_flat, (0, 0)),
    "cone": (roof_cone, (0.1, 0.3)),
}


def metal(scene, colour, along, down):
    """Corrugated sheets of uneven age with rust; returns (n, 3), bump (n,)."""
    rng = scene.rng
    sheet = np.floor(along / 0.9).astype(int) % 64
    course = np.floor(down / rng.uniform(2.2, 3.5)).astype(int) % 64
    age = rng.random((64, 64))[sheet, course]
    wear = rng.uniform(0.02, 0.3)
    streak = scene.streaks(along, down, 6)
    rust = smoothstep(
        age + 0.35 * streak, 1.35 - 2.2 * wear, 1.9 - 2.2 * wear
    )
    tone = 1 + (0.05 + wear / 3) * (age - 0.5) + 0.04 * streak
    albedo = colour * tone[:, None]
    albedo += (vary(rng, RUST, 0.15) - albedo) * 0.75 * rust[:, None]
    seam = np.abs(along / 0.9 % 1 - 0.5) > 0.42
    albedo *= 1 - 0.1 * seam[:, None]
    return albedo, 0.02 * np.sin(2 * np.pi * along / 0.45)


def tile(scene, colour, along, down):
    """Rows of tiles with stains and single odd ones; see `metal`."""
    rng = scene.rng
    row, column = np.floor(down / 0.38), np.floor(along / 0.3)
    odd = rng.random((97, 89))[row.astype(int) % 97, column.astype(int) % 89]
    stain = scene.streaks(along, down, 2)
    tone = 0.98 + 0.16 * (odd - 0.5) + 0.05 * stain
    tone -= 0.12 * smoothstep(stain, 0.8, 2.5)
    tone *= 1 - 0.14 * (down / 0.38 % 1 < 0.3)
    return colour * tone[:, None], 0.03 * (down / 0.38 % 1)


def concrete(scene, colour, along, down):
    """Stained screed, poured in a few bays; see `metal`."""
    rng = scene.rng
    bay = np.floor(along / rng.uniform(3, 6)).astype(int) % 16
    stain = scene.streaks(along, down, 1)
    broad = scene.streaks(along / 4, down / 4, 1)
    tone = 0.95 + 0.08 * rng.random(16)[bay] + 0.04 * stain + 0.07 * broad
    tone -= 0.25 * smoothstep(broad + 0.4 * stain, 0.7, 2.2)
    return colour * tone[:, None], 0.01 * stain


COVERS = {
    "metal": metal,
    "tile": tile,
    "slate": tile,
    "concrete": concrete,
}


def paint_roof(scene, building):
    """Draw one building into the albedo and height maps."""
    rng = scene.rng
    rows, cols = scene.inside(building.outline)
    if not len(rows):
        return
    x, y = scene.metres(rows, cols)
    u, v = rotated(-building.angle, x - building.x, y - building.y)
    shape, pitches = FORMS[building.form]
    rise, along, down = np.full((3, len(u)), -1.0)
    for cu, cv, length, width in building.wings:
        p, q = (u - cu, v - cv) if length >= width else (v - cv, u - cu)
        a, b = max(length, width) / 2, min(length, width) / 2
        wing = shape(p, q, a, b)
        # Where wings meet, the higher plane is the one to be seen; a plane
        # is only there inside its own wing.
        here = (np.abs(p) <= a + 0.1) & (np.abs(q) <= b + 0.1)
        upper = here & (wing[0] > rise)
        for whole, part in zip((rise, along, down), wing, strict=True):
            whole[upper] = part[upper]
    shades = COLOURS[building.material]
    colour = np.array(shades[rng.integers(len(shades))]) / 255
    colour = vary(rng, colour, 0.08)
    albedo, bump = COVERS[building.material](scene, colour, along, down)
    pitch = rng.uniform(*pitches)
    height = building.eaves + np.maximum(rise, 0) * pitch + bump
    if building.form == "flat":
        rim = rise < 0.28
        height += 0.5 * rim
        albedo[rim] = vary(rng, (0.7, 0.68, 0.65), 0.1)
    elif building.form in ("gable", "hip") and building.material != "metal":
        ridge = smoothstep(-np.abs(rise - rise.max()), -0.3, -0.1)
        albedo *= 1 + 0.12 * ridge[:, None]
    scene.albedo[rows, cols], scene.height[rows, cols] = albedo, height
    furnish(scene, building)


def furnish(scene, building):
    """Put tanks, boxes, a stair head or solar panels on a roof."""
    rng = scene.rng
    cu, cv, length, width = building.wings[0]
    if min(length, width) < 4:
        return

    def spot():
        u = cu + rng.uniform(-0.36, 0.36) * length
        v = cv + rng.uniform(-0.33, 0.33) * width
        dx, dy = rotated(building.angle, u, v)
        return building.x + dx, building.y + dy

    angle = building.angle
    if building.form == "flat":
        if rng.random() < 0.5:
            tone = vary(rng, (0.66, 0.64, 0.6), 0.1)
            slab(scene, *spot(), angle, 2.8, 2.3, 2.3, tone)
        for _ in range(rng.integers(0, 5)):
            shades = [(0.12, 0.12, 0.13), (0.25, 0.4, 0.6), (0.8, 0.8, 0.8)]
            drum(scene, *spot(), rng.uniform(0.4, 0.7), 1.1,
                 shades[rng.integers(3)])  # fmt: skip
        for _ in range(rng.integers(0, 7)):
            tone = vary(rng, (0.6, 0.58, 0.55), 0.3)
            slab(scene, *spot(), angle, *rng.uniform(0.4, 1.4, 2), 0.6, tone)
    elif building.material != "metal" and rng.random() < 0.6:
        slab(scene, *spot(), angle, 0.7, 0.6, 0.9, (0.5, 0.42, 0.38))


def wall(scene, line, rise, colour):
    """A garden wall or fence along ``line``."""
    away = scene.distance(line)
    on = away < 0.13
    scene.height[on] = np.maximum(scene.height[on], rise)
    scene.albedo[on] = colour


def enclosures(scene):
    """Walls, fences and hedges around some of the plots."""
    rng = scene.rng
    taken = unary_union(
        [b.outline.buffer(0.5) for b in scene.buildings]
        + [line.buffer(width / 2 + 0.4) for line, width, _ in scene.roads]
    )
    colour = vary(rng, (0.66, 0.62, 0.56), 0.12)
    hedges = rng.random() < 0.4
    for building in scene.buildings:
        if rng.random() > scene.style.walls:
            continue
        plot = building.outline.minimum_rotated_rectangle
        plot = plot.buffer(rng.uniform(1.5, 4), join_style="mitre")
        rest = plot.exterior.difference(taken)
        for part in getattr(rest, "geoms", [rest]):
            if hedges:
                for at in np.arange(0, part.length, 0.7):
                    spot = part.interpolate(at)
                    tree(scene, spot.x, spot.y, rng.uniform(0.5, 0.8), 1.5)
            elif part.length > 1:
                wall(scene, part, rng.uniform(1, 2), colour)
        taken = taken.union(plot)


def car(scene, x, y, angle):
    """A parked or driving car: body, glass and roof."""
    body = vary(scene.rng, np.array(CARS[scene.rng.integers(6)]) / 255, 0.05)
    slab(scene, x, y, angle, 4.3, 1.8, 0.8, body)
    dx, dy = rotated(angle, -0.3, 0)
    slab(scene, x + dx, y + dy, angle, 2.5, 1.5, 0.4, (0.12, 0.13, 0.15))
    slab(scene, x + dx, y + dy, angle, 1.5, 1.4, 0.1, body)


def cars(scene):
    """Put cars at the sides of the roads."""
    rng = scene.rng
    for _ in range(rng.integers(0, scene.style.cars + 1)):
        line, width, _ = scene.roads[rng.integers(len(scene.roads))]
        at = line.length / 2 + rng.uniform(-0.5, 0.5) * scene.extent
        here, there = line.interpolate(at), line.interpolate(at + 1)
        angle = np.arctan2(there.y - here.y, there.x - here.x)
        dx, dy = rotated(angle, 0, rng.choice([-1, 1]) * (width / 2 - 1))
        x, y = here.x + dx, here.y + dy
        if is_free(scene, Point(x, y).buffer(2.2).difference(line.buffer(width)), 0):
            car(scene, x, y, angle + rng.normal(0, 0.04))


def clutter(scene):
    """Stones, boxes and rubbish lying about, mostly near buildings."""
    rng = scene.rng
    for building in scene.buildings:
        for _ in range(rng.integers(0, 7)):
            dx, dy = rng.normal(0, 6, 2)
            x, y = building.x + dx, building.y + dy
            if is_free(scene, Point(x, y), 0.6):
                tone = vary(rng, (0.5, 0.48, 0.46), 0.4)
                length, width = rng.uniform(0.2, 1.3, 2)
                slab(scene, x, y, rng.uniform(0, 3), length, width,
                     rng.uniform(0.1, 0.8), tone)  # fmt: skip


def tree(scene, x, y, radius, top):
    """A crown of overlapping clumps of leaves, ``top`` m high."""
    rng = scene.rng
    middle = scene.canvas([(x, y)])[0]
    reach = 1.3 * radius / scene.pixel * OVERSAMPLE
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach) + 1, scene.side).astype(int)
    if (high <= low).any():
        return
    window = slice(low[1], high[1]), slice(low[0], high[0])
    px, py = scene.metres(*np.mgrid[window])
    crown = np.zeros(px.shape)
    tint = np.ones(px.shape)
    for _ in range(int(np.clip(7 + 6 * radius**2, 8, 60))):
        out = 0.85 * radius * np.sqrt(rng.random())
        dx, dy = rotated(rng.uniform(0, 2 * np.pi), out, 0)
        clump = radius * rng.uniform(0.14, 0.2) + 0.22
        dome = clump**2 - (px - x - dx) ** 2 - (py - y - dy) ** 2
        base = top * (0.45 + 0.55 * np.sqrt(1 - (out / radius) ** 2))
        rise = base - clump + np.sqrt(np.maximum(dome, 0))
        upper = (dome > 0) & (rise > crown)
        crown[upper] = rise[upper]
        tint[upper] = rng.normal(1, 0.09)
    leaves = scene.clouds[window]
    crown += 0.12 * leaves * (crown > 0)
    over = (crown > scene.height[window] + 0.1) & (crown > 0.3)
    depth = 0.6 + 0.45 * np.clip(crown / top, 0, 1)
    shade = tint * depth * (1 + 0.07 * leaves)
    colour = scene.colour("tree", 0.12) * shade[..., None]
    scene.albedo[window][over] = colour[over]
    scene.height[window][over] = crown[over]


def trees(scene):
    """Plant trees and bushes off the roads; crowns may overhang a roof."""
    rng, extent = scene.rng, scene.extent
    per_area = rng.uniform(*scene.style.trees) / 1000
    big = rng.uniform(1.2, 3.2)
    groves = rng.uniform(0, extent, (4, 2))
    for _ in range(int(per_area * (1.15 * extent) ** 2)):
        x, y = rng.uniform(-0.08, 1.08, 2) * extent
        if rng.random() < 0.5:
            x, y = groves[rng.integers(4)] + rng.normal(0, 5, 2)
        radius = big * rng.lognormal(0, 0.3) * rng.choice([1, 1, 0.45])
        if is_free(scene, Point(x, y), 0.8 * radius):
            tree(scene, x, y, radius, 1.5 + radius * rng.uniform(1.1, 1.9))


# Light and camera.


def slope(height, axis, step):
    """Gradient of ``height`` that ignores cliffs, such as walls.

    Of the differences to both neighbours the smaller one counts, since at
    the edge of a roof only one of the two lies on the roof.
    """
    change = np.diff(height, axis=axis, prepend=np.nan, append=np.nan)
    change = np.nan_to_num(change) / step
    before, after = np.delete(change, -1, axis), np.delete(change, 0, axis)
    smaller = np.where(np.abs(before) < np.abs(after), before, after)
    return np.clip(np.where(before * after > 0, smaller, 0), -1.5, 1.5)


def sunlit(height, direction, drop):
    """Share of sunlight that reaches each pixel, (side, side) in 0..1.

    ``direction`` is the unit vector towards the sun, ``drop`` the metres a
    ray falls over one pixel.
    """
    horizon = np.zeros_like(height)
    side, reach = height.shape[0], int(height.max() / drop) + 1
    for k in range(1, min(reach, side // 3)):
        dx, dy = np.round(k * np.asarray(direction)).astype(int)
        to = (slice(max(-dy, 0), side - max(dy, 0)),
              slice(max(-dx, 0), side - max(dx, 0)))  # fmt: skip
        of = (slice(max(dy, 0), side - max(-dy, 0)),
              slice(max(dx, 0), side - max(-dx, 0)))  # fmt: skip
        np.maximum(horizon[to], height[of] - k * drop, out=horizon[to])
    dark = (horizon > height + 0.12).astype(np.float32)
    return 1 - cv2.GaussianBlur(dark, (0, 0), 1.3)


def light(scene):
    """Light the scene; returns (side, side, 3) float32, about 0..1.2."""
    rng = scene.rng
    step = scene.pixel / OVERSAMPLE
    elevation = np.radians(rng.uniform(33, 60))
    direction = np.array([np.cos(scene.sun), np.sin(scene.sun)])
    gx, gy = slope(scene.height, 1, step), slope(scene.height, 0, step)
    tilt = (gx * direction[0] + gy * direction[1]) / np.tan(elevation)
    facing = np.clip((1 - tilt) / np.sqrt(1 + gx**2 + gy**2), 0, 1.6)
    lit = sunlit(scene.height, direction, step * np.tan(elevation))
    around = cv2.GaussianBlur(scene.height, (0, 0), 1.2 / step)
    open_sky = 1 - 0.4 * smoothstep(around - scene.height, 0, 3)
    ambient = rng.uniform(0.32, 0.5)
    sky = ambient * np.array([0.88, 1.0, 1.14])
    beam = (1 - ambient) * np.array([1.04, 1.0, 0.93])
    both = sky * open_sky[..., None] + beam * (facing * lit)[..., None]
    return (scene.albedo * both).astype(np.float32)


def camera(scene, picture):
    """Turn light into a photo: (size, size, 3) uint8, red first."""
    rng, size = scene.rng, scene.size
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.3))
    edge = MARGIN * OVERSAMPLE
    picture = picture[edge:-edge, edge:-edge]
    picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    exposure = rng.uniform(0.42, 0.54) / picture.mean()
    picture = picture * min(exposure, 1.35)
    middle = picture.mean()
    picture = middle + (picture - middle) * rng.uniform(0.85, 1.25)
    cast = 1 + rng.normal(0, 0.025, 3)
    haze = rng.uniform(0, 0.12)
    picture = picture * cast * (1 - haze) + haze * np.array([0.72, 0.75, 0.78])
    ramp = (np.arange(size) + 0.5) / size - rng.uniform(0.4, 0.6)
    picture *= 1 - rng.uniform(0, 0.25) * (ramp[:, None] ** 2 + ramp**2)[..., None]
    # Bright parts are squeezed rather than cut off, as cameras do.
    picture = np.where(picture > 0.8, 1 - 0.2 * np.exp(4 - 5 * picture), picture)
    grain = rng.normal(0, 1, picture.shape[:2] + (1,))
    grain = 0.8 * grain + 0.4 * rng.normal(0, 1, picture.shape)
    picture = picture + rng.uniform(0.006, 0.018) * grain
    pixels = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(72, 92))]
    packed = cv2.imencode(".jpg", pixels[..., ::-1], quality)[1]
    return cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]


def render(seed, number, size):
    """Make one scene.

    Parameters
    ----------
    seed, number : int
        The scene depends on these two alone.
    size : int
        Side of the picture in pixels.

    Returns
    -------
    picture : ndarray of uint8, shape (size, size, 3)
        Red, green, blue.
    rings : list of list of [x, y]
        Closed rings of the roofs in pixels, 0..size.
    """
    scene = new_scene(np.random.default_rng([seed, number]), size)
    lay_out(scene)
    ground(scene)
    if scene.rng.random() < scene.style.fields:
        fields(scene)
    if scene.buildings:
        yards(scene)
        for building in scene.buildings[:6]:
            driveway(scene, building)
    for line, width, kind in reversed(scene.roads):
        road(scene, line, width, kind)
    clutter(scene)
    for building in scene.buildings:
        paint_roof(scene, building)
    enclosures(scene)
    cars(scene)
    trees(scene)
    return camera(scene, light(scene)), rings_of(scene)


# Output.


def rings_of(scene):
    """Closed roof rings in pixels, cut at the border of the picture."""
    frame = box(0, 0, scene.size, scene.size)
    rings = []
    for building in scene.buildings:
        scale = 1 / scene.pixel
        outline = affinity.scale(building.outline, scale, scale, origin=(0, 0))
        seen = outline.intersection(frame)
        parts = seen.geoms if isinstance(seen, MultiPolygon) else [seen]
        for part in parts:
            # Less than this is a sliver that no one could draw.
            if isinstance(part, Polygon) and part.area >= 4:
                points = np.round(part.exterior.coords, 1)
                moved = np.any(np.diff(points, axis=0) != 0, axis=1)
                rings.append(points[np.r_[True, moved]].tolist())
    return rings


def save(path, data):
    """Write bytes to ``path`` so that no half-written file is left."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)


def write_scene(out, number, seed, size):
    """Render scene ``number`` and write its picture and its rings."""
    picture, rings = render(seed, number, size)
    png = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    save(out / "images" / f"Folder_{number}.png", png)
    points = [point for ring in rings for point in ring]
    text = f"{points}\n".encode()
    save(out / "annotations" / f"Folder_{number}.txt", text)


def build_parser():
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=(
            "The result is a folder of synthetic overhead pictures "
            "(images/Folder_N.png) with the outlines of their roofs "
            "(annotations/Folder_N.txt)."
        ),
        epilog=(
            "examples: python code/util/make_sample.py | "
            "python code/util/make_sample.py --out /tmp/scenes --scenes 8 "
            "--seed 3 --overwrite"
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, default=ROOT / "data/raw", help="output folder")
    add("--scenes", type=int, default=40, help="number of scenes")
    add("--size", type=int, default=256, help="side of a picture in pixels")
    add("--seed", type=int, default=0, help="seed of all random choices")
    add("--overwrite", action="store_true", help="write into a used folder")
    add("--quiet", action="store_true", help="show no progress bar")
    return parser


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = build_parser().parse_args(argv)
    if args.out.is_dir() and any(args.out.iterdir()) and not args.overwrite:
        print(
            f"{args.out} is not empty: name another folder with --out or "
            "give --overwrite",
            file=sys.stderr,
        )
        return 2
    for name in ("images", "annotations"):
        (args.out / name).mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(1, args.scenes + 1), disable=args.quiet):
        write_scene(args.out, number, args.seed, args.size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
