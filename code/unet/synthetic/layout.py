"""Where roads and buildings lie, before anything is drawn."""

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry import LineString, Polygon, box
from shapely.ops import unary_union

from unet.synthetic.materials import MATERIALS, PAVINGS, ROOFS
from unet.synthetic.scene import Building, choose, rectangle, rotated

# Pieces of roof with less than this area, in pixels, are slivers that nobody
# would outline; such a building is left out altogether.
SLIVER = 12


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
