"""Synthetic aerial scenes with the outlines of their roofs.

Every scene is drawn as an albedo map and a height map, on a canvas several
times finer than the picture. One sun then lights the height map, so that the
facets of roofs, the sides of tree crowns and all shadows agree.
"""

import numpy as np

from unet.synthetic.ground import fields, ground, road, yards
from unet.synthetic.layout import lay_out, pieces
from unet.synthetic.light import camera, light
from unet.synthetic.materials import STYLES
from unet.synthetic.scene import Scene, choose
from unet.synthetic.solids import cars, enclosures, paint_roof, trees


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
