"""Training pairs in other versions: turned, scaled, in other light.

Whatever moves pixels moves image and mask by the same matrix, and masks are
never interpolated: they hold no class that was not there. Whatever changes
colour touches the image alone.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from unet.imagery.bands import PICTURES
from unet.imagery.turns import symmetry

# What is shown beyond the border is mirrored, in image and mask alike, so
# that no black corner and no cut object comes in.
_BORDER = cv2.BORDER_REFLECT_101
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class _Geometry:
    """The largest changes; an image gets each with the chance of one half.

    Attributes:
        scale: factor; images are enlarged and reduced by up to that much.
        angle: degrees either way, beyond the quarter turns.
        shift: share of the side, either way.
    """

    scale: float = 1.25
    angle: float = 15
    shift: float = 0.1


@dataclass(frozen=True)
class _Colour:
    """The largest changes; factors work both ways.

    An image gets each of the first six with the chance of one half, those
    that cost detail with less.

    Attributes:
        brightness, contrast, gamma: factors.
        balance: factor of each channel on its own: the light's colour.
        saturation: factor.
        hue: degrees on the colour circle, either way.
        blur: standard deviation in pixels.
        sharpen: how often the details are added.
        noise: standard deviation in grey levels.
        shadow: share of the light that a shadow takes away.
    """

    brightness: float = 1.2
    contrast: float = 1.25
    gamma: float = 1.25
    balance: float = 1.08
    saturation: float = 1.4
    hue: float = 6
    blur: float = 1.0
    sharpen: float = 1.0
    noise: float = 5
    shadow: float = 0


# Seen from above no direction is special, so that any angle is real: with
# quarter turns 45 degrees reach all. The moderate levels keep to 15, because
# the more an image is turned the more of it is mirrored border.
_WIDE = (
    _Geometry(scale=2, angle=45, shift=0.25),
    _Colour(
        brightness=1.4,
        contrast=1.6,
        gamma=1.5,
        balance=1.2,
        saturation=2.5,
        hue=12,
        blur=1.5,
        sharpen=2,
        noise=10,
        shadow=0.6,
    ),
)
# Level -> (flips and quarter turns, geometry, colour).
_STEPS = {
    "none": (False, None, None),
    "flips": (True, None, None),
    "geometry": (True, _Geometry(), None),
    "colour": (False, None, _Colour()),
    "all": (True, _Geometry(), _Colour()),
    "wide": (True, *_WIDE),
}
LEVELS = tuple(_STEPS)


class Augmentation:
    """Makes new versions of image and mask pairs.

    Args:
        level: of ``LEVELS``, from weak to strong. "none"; "flips" and quarter
            turns, which lose nothing; "geometry": flips, scale, shift and
            small rotation; "colour": brightness, contrast, gamma, colour
            balance, saturation, hue, blur or sharpening, and noise; "all":
            geometry and colour; "wide": both stronger, any rotation, half to
            double the ground resolution, and shadows, for a model that shall
            work on imagery from elsewhere.
        bands: ``unet.imagery.bands.Bands`` of the images. Pictures have
            colours; other bands are changed each by itself, without
            saturation and hue.
    """

    def __init__(self, level, bands=PICTURES):
        self.level, self._bands = level, bands
        self._flips, self._geometry, self._colour = _STEPS[level]

    def __call__(self, X, Y, rng):
        """Make one new version of each pair.

        Args:
            X: uint8 or uint16, n x H x W x channels; not changed.
            Y: integers, n x H x W (x anything), ids; not changed.
            rng: ``numpy.random.Generator``, the only source of chance.

        Returns:
            (X, Y): new arrays of the same shapes and dtypes.
        """
        X, Y = np.array(X), np.array(Y)
        for image, ids in zip(X, Y, strict=True):
            if self._flips:
                _turn(image, ids, rng)
            if self._geometry:
                _move(image, ids, self._geometry, rng)
            if self._colour:
                image[:] = self._recoloured(image, rng)
        return X, Y

    def _recoloured(self, image, rng):
        if self._bands.dtype is None:
            return _recolour(image, self._colour, rng)
        limits = self._bands.limits or [(0, 255)] * image.shape[2]
        low, high = np.float32(limits).T
        seen = self._bands.stretched(image, limits)
        seen = _relight(seen, self._colour, rng) * (high - low) + low
        return np.rint(seen).astype(image.dtype)


def _turn(image, ids, rng):
    """Turn or flip a pair in place, each way as likely as the others."""
    height, width = ids.shape[:2]
    number = rng.integers(8) if height == width else 2 * rng.integers(4)
    image[:] = symmetry(image, number).copy()
    ids[:] = symmetry(ids, number).copy()


def _chance(rng, probability=0.5):
    return rng.random() < probability


def _either_way(rng, most):
    """A number from -most to most, in half of the cases 0."""
    return rng.uniform(-most, most) if _chance(rng) else 0.0


def _factor(rng, most):
    """A factor from 1 / most to most, halves as likely as doubles."""
    return np.exp(_either_way(rng, np.log(most)))


def _move(image, ids, most, rng):
    """Scale, turn and shift a pair in place."""
    size = np.array(ids.shape[1::-1])
    scale = _factor(rng, most.scale)
    angle = _either_way(rng, most.angle)
    shift = [_either_way(rng, most.shift) for _ in size] * size
    if scale == 1 and angle == 0 and not shift.any():
        return
    centre = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D(centre, angle, scale)
    matrix[:, 2] += matrix[:, :2] @ shift
    if scale < 1:
        # As wide as scikit-image's ``rescale``: finer detail would alias.
        soft = cv2.GaussianBlur(image, (0, 0), (1 / scale - 1) / 2)
        image[:] = soft.reshape(image.shape)
    side = size.tolist()
    moved = cv2.warpAffine(
        image, matrix, side, flags=cv2.INTER_LINEAR, borderMode=_BORDER
    )
    # OpenCV drops a channel axis of length one.
    image[:] = moved.reshape(image.shape)
    ids[:] = cv2.warpAffine(
        ids, matrix, side, flags=cv2.INTER_NEAREST, borderMode=_BORDER
    )


def _recolour(image, most, rng):
    """The image in other light and through another camera."""
    if most.shadow and _chance(rng, 0.3):
        image = _shade(image, most.shadow, rng)
    image = _tinge(image, most, rng)
    image = cv2.LUT(image, _tone_table(image, most, rng))
    if _chance(rng, 0.3):
        image = _focus(image, most, rng)
    if _chance(rng, 0.3):
        noise = rng.standard_normal(image.shape, np.float32)
        noise *= rng.uniform(0, most.noise)
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    return image


def _relight(bands, most, rng):
    """``_recolour`` of bands that are no colours.

    Contrast is around each band's own mean, and each has a balance of its own.

    Args:
        bands: float32, H x W x channels, 0 to 1.

    Returns:
        float32, of the same shape, 0 to 1.
    """
    if most.shadow and _chance(rng, 0.3):
        bands = bands * (1 - _shadow(bands, most.shadow, rng)[..., None])
    bands = bands ** np.float32(_factor(rng, most.gamma))
    middle = bands.mean(axis=(0, 1))
    bands = middle + (bands - middle) * np.float32(_factor(rng, most.contrast))
    balance = [_factor(rng, most.balance) for _ in range(bands.shape[2])]
    light = np.float32(_factor(rng, most.brightness) * np.array(balance))
    bands = (bands * light).clip(0, 1)
    if _chance(rng, 0.3):
        bands = _focus(bands, most, rng).reshape(bands.shape)
    if _chance(rng, 0.3):
        noise = rng.standard_normal(bands.shape, np.float32)
        bands = bands + noise * np.float32(rng.uniform(0, most.noise) / 255)
    return bands.clip(0, 1)


def _shade(image, most, rng):
    """Lay soft shadows, as of clouds and trees, over parts of the image."""
    shade = _shadow(image, most, rng)
    # What light is left comes from the sky: shadows are bluish.
    light = 1 - shade[..., None] * np.array([1, 0.95, 0.85], np.float32)
    return cv2.multiply(image, light, dtype=cv2.CV_8U)


def _shadow(image, most, rng):
    """How much light soft shadows take from each pixel: float32, H x W."""
    height, width = image.shape[:2]
    hills = rng.standard_normal((5, 5), np.float32)
    hills = cv2.resize(hills, (width, height), interpolation=cv2.INTER_CUBIC)
    # Sharper outlines looked like cut-out blobs on real tiles.
    softness = rng.uniform(0.4, 1.5)
    return np.clip(hills / softness, 0, 1) * rng.uniform(0.2, most)


def _tinge(image, most, rng):
    """Change saturation and hue by one matrix; greys stay as they are."""
    saturation = _factor(rng, most.saturation)
    hue = np.deg2rad(_either_way(rng, most.hue))
    if saturation == 1 and hue == 0:
        return image
    mix = saturation * np.eye(3) + (1 - saturation) * np.array(_LUMA)
    turn = cv2.Rodrigues(np.full(3, hue / np.sqrt(3)))[0]
    return cv2.transform(image, turn @ mix)


def _tone_table(image, most, rng):
    """Gamma, contrast, brightness and colour balance in one table.

    Contrast is around the image's own mean, which keeps its brightness.

    Returns:
        uint8, 1 x 256 x 3.
    """
    levels = np.linspace(0, 1, 256) ** _factor(rng, most.gamma)
    middle = levels[round(np.mean(cv2.mean(image)[:3]))]
    levels = middle + (levels - middle) * _factor(rng, most.contrast)
    levels = levels * _factor(rng, most.brightness)
    balance = [_factor(rng, most.balance) for _ in range(3)]
    table = np.rint(levels[:, None] * balance * 255)
    return np.clip(table, 0, 255).astype(np.uint8)[None]


def _focus(image, most, rng):
    """Blur or sharpen (unsharp mask)."""
    if _chance(rng):
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, most.blur))
    amount = rng.uniform(0, most.sharpen)
    soft = cv2.GaussianBlur(image, (0, 0), 1)
    return cv2.addWeighted(image, 1 + amount, soft, -amount, 0)
