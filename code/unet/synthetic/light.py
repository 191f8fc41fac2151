"""One sun on the height map, and the camera above it."""

import cv2
import numpy as np

from unet.synthetic.scene import smoothstep


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
