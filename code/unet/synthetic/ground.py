"""Everything that lies flat: soil, grass, fields, roads, yards."""

import numpy as np
import shapely
from shapely.geometry import Point

from unet.synthetic.materials import MATERIALS, STRAW
from unet.synthetic.scene import rotated, smoothstep


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
