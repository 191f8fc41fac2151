"""Everything that stands: roofs, walls, cars, trees."""

import numpy as np
from shapely.geometry import Point
from shapely.ops import substring, unary_union

from unet.synthetic.layout import beside, is_free
from unet.synthetic.materials import CARS, CEMENT, COVERS, GLASS
from unet.synthetic.scene import choose, rectangle, rotated, smoothstep, vary


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
