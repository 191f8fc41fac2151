"""Make a small sample of synthetic aerial scenes with building polygons.

Every scene is drawn as an albedo map and a height map, on a canvas several
times finer than the picture. One sun then lights the height map, so that the
facets of roofs, the sides of tree crowns and all shadows agree.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely
from scipy import fft
from shapely import affinity
from shapely.geometry import LineString, Point, Polygon, box
from shapely.ops import substring, unary_union
from skimage import draw

from unet.cli import (
    DATA,
    new_parser,
    number,
    progress_bar,
    run,
    short_path,
)
from unet.folders import new_tree, write_text

# Ground drawn around the picture in metres, so that things just outside cast
# their shadows into it.
MARGIN = 5
# Side of the picture on the canvas, at least, in canvas pixels.
CANVAS = 512
# Pieces of roof with less than this area, in pixels, are slivers that nobody
# would outline; such a building is left out altogether.
SLIVER = 12


def palette(text):
    """Colours "rrggbb rrggbb ..." as float32 (n, 3) in 0..1."""
    values = [list(bytes.fromhex(colour)) for colour in text.split()]
    return np.array(values, np.float32) / 255


# Typical colours, two of each material, mixed at random; the pavings are the
# same everywhere.
MATERIALS = ["soil", "grass", "leaves", "asphalt", "concrete"]
LANDS = [
    "b2744e cd9c72 6a733e 8e9052 425a2c 687a40",  # red soil
    "988668 beaa84 7a7a4c a09868 525e36 707446",  # dry
    "807668 a29682 58643c 787a4e 3e502e 5c6a3c",  # grey
    "8c7e68 aca08a 5c743c 829054 3e5c2c 64803e",  # humid
    "767062 968e7e 5e6c4a 80885e 384e38 546646",  # cool
]
PAVED = " 727170 868482 a8a298 bab4a8"
CARS = palette("e1e1e1 3c3e42 961e1e 283c6e aaacaf ebebe6")
RUST, STRAW, CEMENT, GLASS = palette("805038 baa874 b0aca4 202224")
METAL = palette("acb4bc d6d8d6 c0c0bc 966c54 96544e 5a7ca4 68806c 7e6054")
TILE = palette("b46c50 be8666 96604c 825a4c a07c66")
SLATE = palette("626468 7a746e 58524e 86888a")
SCREED = palette("a8a399 c6c1b8 8a857e b09c8e 967466")
# What covers a roof: its colours; the size of a sheet or slab, along and down
# the slope, and how much those differ; how many times longer than wide the
# stains are, and their colour.
COVERS = {
    "metal": (METAL, (0.9, 3), 0.12, 6, RUST),
    "tile": (TILE, (0.5, 0.5), 0.2, 2, 0.6 * TILE[3]),
    "slate": (SLATE, (0.5, 0.5), 0.2, 2, 0.6 * SLATE[2]),
    "concrete": (SCREED, (4, 40), 0.08, 1, 0.7 * SCREED[2]),
}


def table(text):
    """Read a table: {column: {row: number or [low, high]}}."""
    head, *rows = text.strip().splitlines()
    columns = {name: {} for name in head.split()}
    for row in rows:
        label, *cells = row.split()
        for column, cell in zip(columns.values(), cells, strict=True):
            low, *high = (float(part) for part in cell.split("-"))
            column[label] = [low, *high] if high else low
    return columns


# What kinds of places look like. "low-high" is a uniform draw; lengths are
# in metres, trees count per 1000 square metres. The rows of pavings and of
# roofs (form/cover) are weights. "spread" is the reach of a farm around its
# yard. The last two have no buildings: a network must see that, too.
STYLES = table("""
              town     village  suburb   farm     works    open     forest
chance        .25      .24      .20      .10      .05      .12      .04
extent        38-56    38-59    44-64    44-64    51-66    38-64    38-64
grass         .05-.4   .3-.7    .7-.95   .4-.8    .05-.3   .2-.95   .4-.8
fields        0        .25      0        1        0        .6       0
trees         1-5      3-10     3-9      2-6      .5-2     2-16     45-70
cars          5        1        5        2        9        1        0
road          4-7      3-5      5-7      2.5-4    6-9      2-5      2-4
crossing      .7       .3       .4       0        0        0        0
asphalt       1        0        1        0        1        1        0
concrete      1        0        0        0        1        0        0
dirt          1        2        0        1        0        1        0
track         0        1        0        1        0        2        1
share         .26-.38  .12-.25  .16-.28  .09-.16  .25-.35  0-0      0-0
spread        99       99       99       17       99       0        0
frontage      6-11     7-13     9-15     10-20    16-28    0-0      0-0
depth         7-12     6-9      8-11     7-11     12-18    0-0      0-0
shed          2.5-5    2.5-5    2.5-5    3-6      4-8      0-0      0-0
setback       .4-1.5   2-6      3-6      1-3      3-6      0-0      0-0
gap           .5-2     2-6      2-5      1-3      3-6      0-0      0-0
terraced      .5       0        .2       0        0        0        0
walls         .6       .35      .7       0        .3       0        0
flat/concrete 5        1        1        0        3        0        0
gable/metal   3        6        0        5        5        0        0
shed/metal    2        2        0        2        0        0        0
hip/metal     0        3        0        0        0        0        0
gable/tile    0        1        4        2        0        0        0
hip/tile      1        0        4        2        0        0        0
gable/slate   0        0        3        0        0        0        0
hip/slate     0        0        3        0        0        0        0
""")
PAVINGS = ["asphalt", "concrete", "dirt", "track"]
ROOFS = [row for row in STYLES["town"] if "/" in row]


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
    kind = choose(rng, PAVINGS, [style[name] for name in PAVINGS])
    bend = extent * (0.05 if kind in MATERIALS else 0.15)
    width = rng.uniform(*style["road"])
    line = curve(scene, x, y, scene.heading, bend)
    scene.roads.append((line, width, kind))
    if rng.random() < style["crossing"]:
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
    return [(0, (main - width) / 2, length, main), (end, 0, cross, width)]


def new_building(scene, x, y, angle, length, width):
    """Make a building of the scene's style; it is not placed yet."""
    rng = scene.rng
    weights = [scene.style[name] for name in ROOFS]
    form, cover = choose(rng, ROOFS, weights).split("/")
    wings = wings_of(rng, length, width)
    outline = unary_union([rectangle(u, v, 0, *ab) for u, v, *ab in wings])
    outline = affinity.rotate(outline.simplify(0.01), angle, (0, 0), True)
    outline = affinity.translate(outline, x, y)
    # The truth is written in tenths of a pixel: draw exactly that.
    tenths = np.round(np.array(outline.exterior.coords) / scene.pixel, 1)
    outline = Polygon(tenths * scene.pixel)
    return Building(x, y, angle, wings, outline, form, cover)


def is_free(scene, outline, gap):
    """Whether ``outline`` keeps ``gap`` metres from all there is."""
    wide = outline.buffer(gap)
    taken = [b.outline for b in scene.buildings]
    taken += [line.buffer(width / 2) for line, width, _ in scene.roads]
    return not any(wide.intersects(other) for other in taken)


def pieces(scene, building):
    """The parts of a roof that the picture shows, polygons in pixels."""
    scale = 1 / scene.pixel
    outline = affinity.scale(building.outline, scale, scale, origin=(0, 0))
    seen = outline.intersection(box(0, 0, scene.size, scene.size))
    seen = shapely.set_precision(seen, 0.1)
    return [p for p in getattr(seen, "geoms", [seen]) if p.area > 0]


def built_share(scene):
    """Share of the picture that roofs cover, 0..1."""
    area = sum(p.area for b in scene.buildings for p in pieces(scene, b))
    return area / scene.size**2


def place(scene, x, y, angle, length, width, gap, count=1):
    """Place a building, or a row that shares side walls, if there is room."""
    row = []
    for i in range(count):
        deep = width * (scene.rng.uniform(0.85, 1) if count > 1 else 1)
        along = (i - (count - 1) / 2) * length
        # The fronts stay in line.
        dx, dy = rotated(angle, along, (deep - width) / 2)
        row.append(new_building(scene, x + dx, y + dy, angle, length, deep))
    if all(is_free(scene, house.outline, gap) for house in row):
        scene.buildings.extend(row)


def place_along(scene, line, road_width):
    """Line both sides of a road with buildings that face it."""
    rng, style, middle = scene.rng, scene.style, scene.extent / 2
    for side in (-1, 1):
        at = rng.uniform(0, 5)
        while at < line.length:
            length = rng.uniform(*style["frontage"])
            depth = rng.uniform(*style["depth"])
            away = road_width / 2 + rng.uniform(*style["setback"]) + depth / 2
            x, y, angle = beside(line, at, side * away)
            row = rng.random() < style["terraced"]
            near = max(abs(x - middle), abs(y - middle)) < 1.4 * middle
            if near and built_share(scene) < style["share"][1] - 0.03:
                # A turned house keeps its front on the side of the road.
                angle += 0 if side > 0 else np.pi
                count = rng.integers(2, 6) if row else 1
                place(scene, x, y, angle, length, depth, 0.3, count)
            at += length + rng.uniform(*style["gap"])


def beside(line, at, away):
    """Position ``away`` m beside a line, and the line's direction there."""
    here, there = line.interpolate(at), line.interpolate(at + 1)
    angle = np.arctan2(there.y - here.y, there.x - here.x)
    dx, dy = rotated(angle, 0, away)
    return here.x + dx, here.y + dy, angle


def fill_in(scene):
    """Add houses and sheds behind the road until enough is built on."""
    rng, style, extent = scene.rng, scene.style, scene.extent
    target = rng.uniform(*style["share"])
    middle = rng.uniform(0.3, 0.7, 2) * extent
    for attempt in range(150):
        if built_share(scene) >= target:
            return
        x, y = rng.uniform(-0.05, 1.05, 2) * extent
        if np.hypot(x - middle[0], y - middle[1]) > style["spread"]:
            continue
        small = rng.random() < 0.3 or attempt > 100
        length = rng.uniform(*style["shed" if small else "frontage"])
        width = rng.uniform(*style["shed" if small else "depth"])
        turn = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.05)
        gap = rng.uniform(0.4, 2)
        place(scene, x, y, scene.heading + turn, length, width, gap)


def lay_out(scene):
    """Decide on all roads and buildings of the scene."""
    lay_roads(scene)
    if scene.style["spread"] > scene.extent:
        for line, width, _ in scene.roads:
            place_along(scene, line, width)
    fill_in(scene)
    scene.buildings = [
        building
        for building in scene.buildings
        if all(p.area >= SLIVER for p in pieces(scene, building))
    ]


# Ground: everything that lies flat.


def ground(scene):
    """Cover the canvas with grass and bare soil, mixed by noise."""
    share = scene.rng.uniform(*scene.style["grass"])
    cover = scene.noise(14, 1.7) + 0.35 * scene.noise(2, 1.2)
    limit = np.quantile(cover, 1 - share)
    green = smoothstep(cover, limit - 0.5, limit + 0.5)
    for kind, weight in (("soil", np.ones_like(green)), ("grass", green)):
        patch = smoothstep(scene.noise(5, 1.5), -1.5, 1.5)[..., None]
        one, two = scene.colour(kind), scene.colour(kind)
        scene.blend(one + (two - one) * patch, weight)
    fine = scene.noise(0.8, 0.9)
    scene.albedo *= 1 + 0.05 * (fine + 0.8 * scene.noise(6))[..., None]
    scene.height += (0.02 + 0.05 * green) * fine


def cells(rng, values, reach, sizes):
    """Cut -reach..reach into cells; index and distance to the rim."""
    cuts = np.cumsum(rng.uniform(*sizes, int(2 * reach / sizes[0]) + 2))
    cuts = np.r_[0, cuts] - reach
    index = np.clip(np.searchsorted(cuts, values), 1, len(cuts) - 1)
    return index, np.minimum(values - cuts[index - 1], cuts[index] - values)


def fields(scene):
    """Cut the land into plots."""
    rng, extent = scene.rng, scene.extent
    x, y = scene.metres(*np.mgrid[: scene.side, : scene.side])
    u, v = rotated(-scene.heading, x - extent / 2, y - extent / 2)
    u, v = (u, v) + 0.5 * scene.noise(25, 3)
    strip, rim = cells(rng, v, 1.5 * extent, (8, 22))
    u = u + rng.uniform(-15, 15, 99)[strip]
    part, end = cells(rng, u, 2 * extent, (15, 50))
    field_plots(scene, (strip * 31 + part) % 199, v, np.minimum(rim, end))


def field_plots(scene, plot, v, rim):
    """Draw all fields, each ploughed, sown, stubble or fallow.

    ``plot`` numbers the fields, 0..198, ``v`` runs across their rows, ``rim``
    is the distance to their borders; all (side, side), in metres.
    """

    def per_plot(low, high):
        return scene.rng.uniform(low, high, 199).clip(0).astype("f4")[plot]

    mask = smoothstep(rim + 0.25 * scene.noise(1.5), 0.4, 1.0)
    patchy = scene.noise(5)
    phase = 2 * np.pi * v / per_plot(0.8, 2.2) + 0.3 * scene.noise(4)
    # Rows fade in and out, as tracks and weather wear them.
    wave = np.sin(phase) * smoothstep(scene.noise(6), -1.5, 1.5)
    shade = per_plot(0.75, 1) + 0.06 * patchy
    tone = scene.colour("soil", 0.1) * shade[..., None]
    tilled = mask * per_plot(-0.5, 1)
    scene.blend(tone, tilled)
    scene.blend(STRAW, tilled * per_plot(-1, 0.7) * smoothstep(patchy, -2, 2))
    bare = per_plot(0, 2.5) - 0.8
    plants = mask * smoothstep(wave + 0.5 * patchy, bare, bare + 0.8)
    scene.blend(0.9 * scene.colour("grass", 0.1), plants)
    scene.height += tilled * wave * 0.04 + 0.2 * plants


def road(scene, line, width, kind):
    """Draw a road with worn edges, wheel tracks and, on asphalt, dust."""
    away = scene.distance(lines=[line])
    paved = kind in MATERIALS
    edge = away + (0.12 if paved else 0.4) * scene.noise(2, 1.2)
    soil = 1.06 * scene.colour("soil")
    base = scene.colour(kind if paved else "soil", 0.08)
    patchy = 1 + 0.05 * scene.noise(6, 1.5) + 0.03 * scene.noise(0.5, 0.8)
    scene.blend(soil, 0.7 - 0.7 * smoothstep(edge, width / 2, width / 2 + 1.2))
    on_road = 1 - smoothstep(edge, width / 2 - 0.3, width / 2)
    if kind == "track":
        on_road *= 0.25 + 0.75 * smoothstep(away, 0.15, 0.5)
    if kind == "asphalt":
        dust = 0.5 * smoothstep(scene.noise(5), 0.3, 2.2)[..., None]
        base = base + (soil - base) * dust
    scene.blend(base * patchy[..., None], on_road)
    scene.height *= 1 - 0.9 * on_road
    wheels = np.exp(-(((away - width / 4) / 0.4) ** 2)) * on_road
    scene.albedo *= 1 - 0.07 * wheels[..., None]


def yards(scene):
    """Bare or paved ground around the buildings, and paths to the road."""
    rng, road_line = scene.rng, scene.roads[0][0]
    doors = [Point(b.x, b.y) for b in scene.buildings[:6]]
    paths = [shapely.shortest_line(door, road_line) for door in doors]
    reach = rng.uniform(0.5, 4)
    away = scene.distance([b.outline for b in scene.buildings])
    away = np.minimum(away, scene.distance(lines=paths) + reach)
    away += 1.2 * scene.noise(5, 1.6)
    weight = 1 - smoothstep(away, reach, reach + 1.2)
    colour = scene.colour("concrete" if rng.random() < 0.3 else "soil", 0.1)
    texture = 1 + 0.06 * scene.noise(2, 1)[..., None]
    scene.blend(colour * texture, weight * 0.9)
    scene.height *= 1 - 0.7 * weight


# Solid things: they also change the height map.


def block(scene, outline, rise, colour):
    """A flat-topped thing that stands ``rise`` m on whatever is below it."""
    rows, cols = scene.inside(outline)
    if len(rows):
        scene.height[rows, cols] = np.median(scene.height[rows, cols]) + rise
        grain = 1 + 0.05 * scene.clouds[rows, cols, None]
        scene.albedo[rows, cols] = colour * grain


def roof_shape(form, p, q, a, b):
    """The planes of one wing's roof.

    Args:
        form: gable, shed, flat or hip.
        p: float (n,), positions along the longer side, from the centre.
        q: float (n,), positions along the shorter side.
        a: half of the longer side.
        b: half of the shorter side.

    Returns:
        (rise, along, down), each float (n,): height for a pitch of 1 (on a
        flat roof the distance to the rim), and position along and down the
        slope, which differs from plane to plane.
    """
    across, ends = b - np.abs(q), a - np.abs(p)
    rim, is_end = np.minimum(across, ends), ends < across
    down = np.where(q > 0, q, 50 - q)
    ends_down = np.where(is_end, np.abs(p) + 90, down)
    return {
        "gable": (across, p, down),
        "shed": (0.2 * (q + b), p, q),
        "flat": (rim, p, q),
        "hip": (rim, np.where(is_end, q + 30, p), ends_down),
    }[form]


def roof_planes(scene, building, x, y):
    """Rise, along and down of all wings at the points (x, y)."""
    u, v = rotated(-building.angle, x - building.x, y - building.y)
    planes = np.full((3, len(u)), -1.0)
    # The corners of an outline are moved by up to half a tenth of a pixel.
    slack = 0.05 + 0.1 * scene.pixel
    for cu, cv, length, width in building.wings:
        p, q = (u - cu, v - cv) if length >= width else (v - cv, u - cu)
        a, b = max(length, width) / 2, min(length, width) / 2
        wing = np.array(roof_shape(building.form, p, q, a, b))
        # Where wings meet, the higher plane is the one to be seen; a plane
        # is only there inside its own wing.
        here = (np.abs(p) <= a + slack) & (np.abs(q) <= b + slack)
        planes = np.where(here & (wing[0] > planes[0]), wing, planes)
    return planes


def weathered(scene, cover, along, down):
    """The albedo (n, 3) of a roof: panels of uneven age, and stains."""
    rng = scene.rng
    colours, panel, uneven, stretch, dirt = COVERS[cover]
    colour = vary(rng, choose(rng, colours, scene.fashion), 0.08)
    # Paint and tiles fade: most roofs are greyer than when they were new.
    colour = colour + (colour.mean() - colour) * rng.uniform(0, 0.6)
    sheet = np.floor(along / panel[0]).astype(int) % 64
    course = np.floor(down / panel[1]).astype(int) % 64
    age = rng.random((64, 64))[sheet, course] - 0.5
    streak = scene.streaks(along, down, stretch)
    broad = scene.streaks(along / 4, down / 4, stretch)
    tone = 1 + uneven * age + 0.04 * streak + 0.04 * broad
    albedo = colour * tone[:, None]
    worn = rng.uniform(0.8, 2.6)
    stained = 0.7 * smoothstep(broad + 0.5 * streak + age, worn, worn + 1.3)
    return albedo + (vary(rng, dirt, 0.15) - albedo) * stained[:, None]


def paint_roof(scene, building):
    """Draw one building into the albedo and height maps."""
    rng = scene.rng
    rows, cols = scene.inside(building.outline)
    x, y = scene.metres(rows, cols)
    rise, along, down = roof_planes(scene, building, x, y)
    albedo = weathered(scene, building.cover, along, down)
    if building.form == "flat":
        rim = rise < 0.3
        rise = 0.5 * rim
        albedo[rim] = vary(rng, CEMENT, 0.1)
    else:
        rise = np.maximum(rise, 0) * rng.uniform(0.28, 0.65)
    scene.albedo[rows, cols] = albedo
    small = min(building.wings[0][2:]) < 4
    eaves = rng.uniform(2, 2.8) if small else rng.uniform(2.8, 5.5)
    scene.height[rows, cols] = eaves + rise
    if building.form == "flat" and not small:
        furnish(scene, building)


def furnish(scene, building):
    """Put stair heads, tanks and boxes on a flat roof."""
    rng, angle = scene.rng, building.angle
    u, v, length, width = building.wings[0]
    for _ in range(rng.integers(0, 7)):
        at = rng.uniform(-0.35, 0.35, 2) * (length, width) + (u, v)
        dx, dy = rotated(angle, *at)
        sides = rng.choice([0.8, 1.2, 2.5]) * rng.uniform(0.8, 1.2, 2)
        thing = rectangle(building.x + dx, building.y + dy, angle, *sides)
        if building.outline.contains(thing):
            block(scene, thing, sides.min(), vary(rng, CEMENT, 0.25))


def enclosures(scene):
    """Walls or hedges around some of the plots."""
    rng = scene.rng
    taken = unary_union(
        [b.outline.buffer(0.5) for b in scene.buildings]
        + [line.buffer(width / 2 + 0.4) for line, width, _ in scene.roads]
    )
    colour, half = vary(rng, 0.9 * CEMENT, 0.12), 0.15
    if rng.random() < 0.35:
        colour, half = scene.colour("leaves", 0.1), 0.5
    for building in scene.buildings:
        if rng.random() > scene.style["walls"]:
            continue
        plot = building.outline.minimum_rotated_rectangle
        plot = plot.buffer(rng.uniform(1.5, 4), join_style="mitre")
        rest = plot.exterior.difference(taken)
        for part in getattr(rest, "geoms", [rest]):
            # A gap for the gate; without it a ring would be filled, too.
            part = substring(part, 0, part.length - 2)
            if part.length > 1:
                wall = part.buffer(half, cap_style="flat", join_style="mitre")
                block(scene, wall, rng.uniform(1, 2), colour)
        taken = taken.union(plot)


def cars(scene):
    """Put cars at the sides of the roads."""
    rng = scene.rng
    taken = unary_union([b.outline for b in scene.buildings])
    for _ in range(rng.integers(0, scene.style["cars"] + 1)):
        line, width, _ = scene.roads[rng.integers(len(scene.roads))]
        at = line.length / 2 + rng.uniform(-0.5, 0.5) * scene.extent
        away = rng.choice([-1, 1]) * (width / 2 - 1)
        x, y, angle = beside(line, at, away)
        if taken.intersects(Point(x, y).buffer(2.4)):
            continue
        taken = taken.union(Point(x, y).buffer(2.4))
        body = vary(rng, CARS[rng.integers(len(CARS))], 0.05)
        block(scene, rectangle(x, y, angle, 4.3, 1.8), 0.8, body)
        block(scene, rectangle(x, y, angle, 2.6, 1.5), 0.4, GLASS)
        block(scene, rectangle(x, y, angle, 1.5, 1.4), 0.1, body)


def tree(scene, x, y, radius, top):
    """A crown of overlapping clumps of leaves, ``top`` m high."""
    rng = scene.rng
    middle = scene.canvas([(x, y)])[0]
    reach = 1.8 * radius / scene.step
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach) + 1, scene.side).astype(int)
    if (high <= low).any():
        return
    window = slice(low[1], high[1]), slice(low[0], high[0])
    px, py = scene.metres(*np.mgrid[window])
    crown, tint = np.zeros(px.shape), np.ones(px.shape)
    # Lobes make the outline of each crown its own.
    lobes, turns = rng.uniform(0, [0.3, 0.2, 0.15]), rng.uniform(0, 7, 3)
    for _ in range(int(np.clip(7 + 6 * radius**2, 8, 60))):
        out, around = np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        lobe = 0.85 + np.sum(lobes * np.sin(np.arange(1, 4) * around + turns))
        dx, dy = rotated(around, out * lobe * radius, 0)
        clump = radius * rng.uniform(0.13, 0.24) + 0.2
        dome = clump**2 - (px - x - dx) ** 2 - (py - y - dy) ** 2
        base = top * (0.45 + 0.55 * np.sqrt(1 - 0.7 * out**2))
        rise = base - clump + np.sqrt(np.maximum(dome, 0))
        upper = (dome > 0) & (rise > crown)
        crown[upper] = rise[upper]
        tint[upper] = rng.normal(1, 0.1)
    leaves = scene.clouds[window]
    over = (crown > scene.height[window] + 0.1) & (crown > 0.3)
    shade = tint * (0.6 + 0.45 * np.clip(crown / top, 0, 1) + 0.08 * leaves)
    colour = scene.colour("leaves", 0.14) * shade[..., None]
    scene.albedo[window][over] = colour[over]
    scene.height[window][over] = crown[over]


def trees(scene):
    """Plant trees and bushes off the roads; crowns may overhang a roof."""
    rng, extent = scene.rng, scene.extent
    per_area = rng.uniform(*scene.style["trees"]) / 1000
    big = rng.uniform(1.2, 3.2)
    groves = rng.uniform(0, extent, (4, 2))
    for _ in range(int(per_area * (1.15 * extent) ** 2)):
        x, y = rng.uniform(-0.08, 1.08, 2) * extent
        if rng.random() < 0.5:
            x, y = groves[rng.integers(4)] + rng.normal(0, 5, 2)
        radius = big * rng.lognormal(0, 0.35) * rng.choice([1, 1, 0.45])
        if is_free(scene, Point(x, y), 0.8 * radius):
            tree(scene, x, y, radius, 1.5 + radius * rng.uniform(1, 1.9))


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


def sunlit(height, direction, drop, softness):
    """Share of sunlight that reaches each pixel, (side, side) in 0..1.

    ``direction`` is the unit vector towards the sun, ``drop`` the metres a
    ray falls over one pixel, ``softness`` the blur of shadows in pixels.
    """
    side = len(height)
    reach = min(int(height.max() / drop) + 1, side // 3)
    around, horizon = np.pad(height, reach), np.zeros_like(height)
    for k in range(1, reach):
        x, y = np.round(k * direction).astype(int) + reach
        ray = around[y : y + side, x : x + side] - k * drop
        np.maximum(horizon, ray, out=horizon)
    dark = (horizon > height + 0.12).astype(np.float32)
    return 1 - cv2.GaussianBlur(dark, (0, 0), softness)


def light(scene):
    """Light the scene; returns (side, side, 3) float32, about 0..1.2."""
    rng, step = scene.rng, scene.step
    # Under thin cloud more of the light comes from the sky.
    hazy = rng.random() < 0.15
    ambient = rng.uniform(0.6, 0.85) if hazy else rng.uniform(0.28, 0.5)
    softness = (0.4 if hazy else 0.12) / step
    steep = np.tan(np.radians(rng.uniform(28, 65)))
    direction = np.array([np.cos(scene.sun), np.sin(scene.sun)])
    gx, gy = slope(scene.height, 1, step), slope(scene.height, 0, step)
    tilt = (gx * direction[0] + gy * direction[1]) / steep
    facing = np.clip((1 - tilt) / np.sqrt(1 + gx**2 + gy**2), 0, 1.6)
    lit = sunlit(scene.height, direction, step * steep, softness)
    around = cv2.GaussianBlur(scene.height, (0, 0), 1.2 / step)
    open_sky = 1 - 0.4 * smoothstep(around - scene.height, 0, 3)
    sky = ambient * np.array([0.9, 1.0, 1.12])
    beam = (1 - ambient) * np.array([1.04, 1.0, 0.93])
    both = sky * open_sky[..., None] + beam * (facing * lit)[..., None]
    return (scene.albedo * both).astype(np.float32)


def developed(rng, picture):
    """Give a picture the exposure, colours and haze of one flight."""
    picture = picture * min(rng.uniform(0.37, 0.58) / picture.mean(), 1.5)
    grey = picture.mean(axis=-1, keepdims=True)
    colour = (picture - grey) * rng.uniform(0.55, 1.2)
    middle = grey.mean()
    picture = middle + (grey - middle) * rng.uniform(0.8, 1.35) + colour
    haze = 0.25 * rng.random() ** 2
    picture = picture * (1 - haze) + haze * np.array([0.72, 0.75, 0.78])
    # Casts run from warm to cool, rarely to green or purple.
    warm = rng.normal(0, 0.035) * np.array([1, 0.1, -1])
    picture = picture * (1 + warm + rng.normal(0, 0.01, 3))
    # Bright parts are squeezed rather than cut off, as cameras do.
    bright = 1 - 0.2 * np.exp(np.minimum(4 - 5 * picture, 0))
    return np.where(picture > 0.8, bright, picture)


def camera(scene, picture):
    """Turn light into a photo: (size, size, 3) uint8, red first."""
    rng, size, edge = scene.rng, scene.size, scene.edge
    blur = scene.oversample * rng.uniform(0.3, 0.6)
    picture = cv2.GaussianBlur(picture, (0, 0), blur)
    picture = picture[edge:-edge, edge:-edge]
    picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    picture = developed(rng, picture)
    # Mostly the same in all colours.
    grain = rng.normal(0, (0.8, 0.4, 0.4, 0.4), (size, size, 4))
    grain = grain[..., :1] + grain[..., 1:]
    picture = picture + rng.uniform(0.003, 0.013) * grain
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)


def render(seed, number, size):
    """Make one scene, which depends on the arguments alone.

    Args:
        seed: of the whole sample.
        number: of the scene.
        size: side of the picture in pixels.

    Returns:
        (picture, rings): uint8 (size, size, 3), red first, and the closed
        rings of the roofs, lists of [x, y] in 0..size.
    """
    rng = np.random.default_rng([seed, number])
    styles = list(STYLES.values())
    style = choose(rng, styles, [style["chance"] for style in styles])
    scene = Scene(rng, style, size, rng.uniform(*style["extent"]))
    lay_out(scene)
    ground(scene)
    if rng.random() < style["fields"]:
        fields(scene)
    if scene.buildings:
        yards(scene)
    for line, width, kind in reversed(scene.roads):
        road(scene, line, width, kind)
    for building in scene.buildings:
        paint_roof(scene, building)
    enclosures(scene)
    cars(scene)
    trees(scene)
    rings = [
        np.round(piece.exterior.coords, 1).tolist()
        for building in scene.buildings
        for piece in pieces(scene, building)
    ]
    return camera(scene, light(scene)), rings


def write_scene(tree, number, picture, rings):
    """Write one scene's picture and its rings below ``tree``."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
    packed = cv2.imencode(".jpg", picture[..., ::-1], quality)[1]
    (tree / "images" / f"Folder_{number}.jpg").write_bytes(packed.tobytes())
    points = [point for ring in rings for point in ring]
    write_text(tree / "annotations" / f"Folder_{number}.txt", f"{points}\n")


def read_arguments():
    """Read the command line."""
    parser = new_parser(
        "The result is a folder of synthetic aerial pictures, with outlines\n"
        "of the roofs: images/Folder_N.jpg, annotations/Folder_N.txt.",
        [
            "python code/util/make_sample.py --overwrite",
            "python code/util/make_sample.py --out /tmp/scenes --scenes 8",
        ],
    )
    add = parser.add_argument
    add("--out", type=Path, default=DATA / "raw", help="output folder")
    count = number(int, 1)
    add("--scenes", type=count, default=120, help="number of scenes")
    add(
        "--size",
        type=number(int, 32),
        default=128,
        help="side of a picture in pixels",
    )
    add("--seed", type=number(int, 0), default=0, help="of all random choices")
    add("--overwrite", action="store_true", help="replace an existing folder")
    add("--quiet", action="store_true", help="print nothing but errors")
    return parser.parse_args()


def main():
    args = read_arguments()
    buildings, covered = 0, 0
    scenes = range(1, args.scenes + 1)
    with new_tree(args.out, [], args.overwrite) as tree:
        for name in ("images", "annotations"):
            (tree / name).mkdir()
        progress = progress_bar(args.quiet)
        for scene in progress(scenes, args.scenes, "Drawing scenes"):
            picture, rings = render(args.seed, scene, args.size)
            write_scene(tree, scene, picture, rings)
            buildings += len(rings)
            covered += sum(Polygon(ring).area for ring in rings)
    if not args.quiet:
        share = covered / (args.scenes * args.size**2)
        print(
            f"Wrote {args.scenes} scenes with {buildings} buildings "
            f"({share:.1%} of the pixels) to {short_path(args.out)}."
        )


if __name__ == "__main__":
    run(main)
