"""Scenes by windows are the scene at once, whatever the strips."""

import numpy as np
import pytest
import rasterio

from conftest import small_network
from unet.files.errors import DataError
from unet.imagery.rasters import Scene
from unet.imagery.resampling import resampling
from unet.imagery.resizing import resize_image
from unet.network.contract import Contract
from unet.network.model import any_size
from unet.prediction import windows
from unet.prediction.photos import probabilities_of_images as seen_whole
from unet.prediction.scaling import scales
from unet.prediction.scenes import strips
from unet.prediction.strip import DEFAULTS, Settings
from unet.prediction.windows import Tiling


@pytest.fixture(scope="module")
def model():
    return small_network()


@pytest.fixture(scope="module")
def network(model):
    """The same for windows of any size."""
    return any_size(model)


def noise(height, width, seed=0):
    """An image with structure of several sizes: uint8, H x W x 3."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 9 + 1, width // 9 + 1, 3))
    image = resize_image(coarse.astype(np.float32), (height, width))
    image += rng.normal(0, 20, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def joined(parts):
    """Strips as one: (ids, probability, known, image)."""
    parts = list(parts)
    tops = np.cumsum([0, *(len(one.ids) for one in parts)])[:-1]
    assert [one.top for one in parts] == tops.tolist()
    return tuple(
        np.concatenate([getattr(one, name) for one in parts])
        for name in ("ids", "probability", "known", "image")
    )


def both_sides(array, matrices):
    """Resize rows and columns of an array, H x W x channels."""
    rows, columns = matrices
    return np.einsum(
        "ij,jkc,lk->ilc", rows, array.astype(float), columns, optimize=True
    )


def at_once(network, image, factor, tiling):
    """What ``strips`` promises, done with the whole scene in memory."""
    shape = [max(1, round(n * factor)) for n in image.shape[:2]]
    down = [
        resampling(n, m).toarray()
        for n, m in zip(image.shape, shape, strict=False)
    ]
    seen = both_sides(image, down)
    seen = np.rint(seen).astype(np.uint8)
    height, width = tiling.size
    above, left = tiling.rows.margin, tiling.columns.margin
    pads = [(above, 2 * height), (left, 2 * width), (0, 0)]
    wide = np.pad(seen, pads, mode="reflect")
    down, across = (
        np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
        for side in (height, width)
    )
    weight = (down[:, None] * across)[..., None]
    sums = np.zeros((*wide.shape[:2], network.output_shape[-1]))
    total = np.zeros((*wide.shape[:2], 1))
    for row in tiling.rows.starts:
        for column in tiling.columns.starts:
            at = np.s_[row : row + height, column : column + width]
            sums[at] += weight * network.predict_on_batch(wide[at][None])[0]
            total[at] += weight
    inside = np.s_[above : above + shape[0], left : left + shape[1]]
    found = sums[inside] / total[inside]
    up = [
        resampling(m, n).toarray()
        for n, m in zip(image.shape, shape, strict=False)
    ]
    return both_sides(found, up)


@pytest.mark.parametrize(
    ("source", "target"), [(60, 30), (61, 23), (7, 7), (20, 53), (50, 1)]
)
def test_both_sides_are_resized_as_opencv_does(source, target):
    image = np.random.default_rng(0).random((source, 4)).astype(np.float32)
    expected = resize_image(image, (target, 4))
    matrix = resampling(source, target)
    assert matrix.dtype == np.float32
    assert np.allclose(matrix @ image, expected, atol=1e-5)
    assert np.allclose(matrix.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("shape", "factor", "overlap"),
    [
        ((700, 150), 0.5, 0.5),
        ((300, 411), 0.37, 0.5),
        ((90, 40), 1.3, 0.25),
        ((600, 70), 1, 0),
        ((3, 100), 1, 0.5),
        ((700, 150), 0.5, None),
        ((300, 411), 0.37, None),
        ((90, 40), 1.3, None),
        ((3, 100), 1, None),
    ],
)
def test_strips_together_are_the_scene_at_once(
    network, monkeypatch, shape, factor, overlap
):
    monkeypatch.setattr(windows, "_LARGEST", 64)
    monkeypatch.setattr(windows, "_SHARED", 8)
    image = noise(*shape)
    scene = Scene.of_array(image)
    tiling = Tiling(shape, (factor, factor), (32, 32), overlap, step=4)
    ids, probability, known, seen = joined(
        strips(network, scene, tiling, Settings(0.4))
    )
    expected = at_once(network, image, factor, tiling)
    assert probability.dtype == np.float32
    # 32 and 64 bits round a few colours to different values.
    difference = np.abs(probability - expected)
    assert difference.mean() < 1e-4
    assert difference.max() < 0.005
    assert np.array_equal(ids, probability[..., 0] >= 0.4)
    assert known.all()
    assert np.array_equal(seen, image)


def test_without_overlap_tiles_are_those_of_a_plain_loop(model):
    image = noise(64, 96)
    tiling = Tiling((64, 96), (1, 1), (32, 32), overlap=0)
    assert tiling.tiles == 6
    (_, probability, *_) = joined(
        strips(model, Scene.of_array(image), tiling, DEFAULTS)
    )
    for row in (0, 32):
        for column in (0, 32, 64):
            at = np.s_[row : row + 32, column : column + 32]
            (expected,) = seen_whole(model, [image[at]])
            assert np.allclose(probability[at], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 64), (40, 60), (5, 3)])
def test_what_fits_the_network_takes_the_articles_path(model, shape):
    image = noise(*shape)
    tiling = Tiling(shape, (0.5, 0.5), (32, 32))
    assert tiling.fits
    (_, probability, *_) = joined(
        strips(model, Scene.of_array(image), tiling, DEFAULTS)
    )
    assert np.array_equal(probability, seen_whole(model, [image])[0])


def test_every_pixel_lies_in_as_many_windows():
    tiling = Tiling((100, 300), (1, 1), (32, 32), overlap=0.5)
    for axis in (tiling.rows, tiling.columns):
        assert np.allclose(axis.total[axis.margin : -32], 1, atol=1e-6)
    one = Tiling((100, 300), (1, 1), (32, 32), overlap=0.75)
    count = np.zeros(len(one.rows.index), int)
    for start in one.rows.starts:
        count[start : start + 32] += 1
    assert (count[one.rows.margin :][:100] == 4).all()


@pytest.mark.parametrize(
    ("length", "sides"),
    [(150, [160]), (512, [512]), (513, [304] * 2), (12000, [512] * 27)],
)
def test_windows_are_few_and_no_larger_than_needed(length, sides):
    tiling = Tiling((length, 200), (1, 1), (128, 128))
    axis = tiling.rows
    assert [axis.side] * len(axis.starts) == sides
    covered = np.zeros(len(axis.index), int)
    for start in axis.starts:
        covered[start : start + axis.side] += 1
    inside = covered[axis.margin : axis.margin + length]
    assert inside.min() == 1
    # Neighbours share enough that no seam shows.
    assert len(sides) == 1 or (inside == 2).sum() >= 60 * (len(sides) - 1)
    assert sum(sides) <= 1.2 * length


def test_few_pixels_are_computed_twice():
    for side in (130, 154, 300, 700, 1228, 2458, 12000):
        tiling = Tiling((side, side), (1, 1), (128, 128))
        computed = tiling.tiles * np.prod(tiling.size)
        assert computed <= 1.5 * side**2


@pytest.mark.parametrize("classes", [["roof"], ["road", "roof"]])
@pytest.mark.parametrize("rows", [0, 1, 77, 349, 350])
def test_an_interrupted_scene_goes_on_to_the_same_bytes(
    tmp_path, rows, classes
):
    model = small_network(classes)
    scene = Scene.of_array(noise(700, 120))
    tiling = Tiling((700, 120), (0.5, 0.5), (32, 32), overlap=0.5)
    whole = joined(strips(model, scene, tiling, DEFAULTS, work=tmp_path / "a"))
    data = (tmp_path / "a").read_bytes()
    width = 60 * model.output_shape[-1] * 4
    assert len(data) == 350 * width
    # Killed while a row was written.
    (tmp_path / "b").write_bytes(data[: rows * width + (rows < 350) * 5])
    seen = []
    again = joined(
        strips(
            model, scene, tiling, DEFAULTS, work=tmp_path / "b",
            watch=lambda tiles, _: seen.append(tiles),
        )
    )  # fmt: skip
    for one, other in zip(whole, again, strict=True):
        assert np.array_equal(one, other)
    assert (tmp_path / "b").read_bytes() == data
    assert sum(seen) == tiling.tiles


def write_scene(path, image, **profile):
    """Write an image, or bands x H x W, as GeoTIFF."""
    bands = image if image.shape[0] <= 4 else np.moveaxis(image, 2, 0)
    count, height, width = bands.shape
    options = {
        "driver": "GTiff", "count": count, "height": height, "width": width,
        "dtype": bands.dtype, **profile,
    }  # fmt: skip
    with rasterio.open(path, "w", **options) as raster:
        raster.write(bands)
    return path


def test_what_has_no_data_is_not_predicted_and_disturbs_nobody(model, tmp_path):
    image = noise(400, 400)
    image[image == 0] = 1
    image[:200] = 0
    image[:, :100] = 0
    path = write_scene(tmp_path / "a.tif", image, nodata=0)
    scene = Scene(path)
    assert scene.masked
    tiling = Tiling(scene.shape, (1, 1), (32, 32), overlap=0.5)
    ids, probability, known, _ = joined(
        strips(model, scene, tiling, Settings(0))
    )
    assert np.array_equal(known, image[..., 0] > 0)
    assert np.array_equal(ids, known)
    other = Scene.of_array(image)
    (_, black, *_) = joined(strips(model, other, tiling, Settings(0)))
    # Far from the frame it is the same; there nobody sees black.
    assert np.allclose(probability[240:, 140:], black[240:, 140:], atol=1e-5)
    # The mean colour is not black.
    assert not np.allclose(probability[200:232], black[200:232], atol=1e-3)
    # Windows beyond were skipped.
    assert not probability[:160].any()
    assert probability[200:, 100:].min() > 0


def test_what_is_no_number_is_no_data(tmp_path):
    image = noise(90, 80).astype(np.float32) / 255
    image[10:30, 20:50, 1] = np.nan
    image[0, 0] = np.inf
    scene = Scene(write_scene(tmp_path / "a.tif", image))
    assert scene.masked
    found, known = scene.read(0, 90)
    assert np.array_equal(known, np.isfinite(image).all(axis=2))
    expected = np.rint(image * 255)[known]
    assert np.array_equal(found[known], expected)


@pytest.mark.parametrize("kind", ["grey", "16 bit", "float", "alpha"])
def test_bands_and_depths_are_read_as_images_are(tmp_path, kind):
    from unet.imagery.reading import read_image

    image = noise(300, 40)
    if kind == "grey":
        array = image[..., :1].copy()
    elif kind == "16 bit":
        array = image.astype(np.uint16) * 40 + 1000
    elif kind == "float":
        array = image.astype(np.float32) / 255
    else:
        alpha = np.full(image.shape[:2], 255, np.uint8)
        array = np.dstack([image, alpha])
    bands = np.moveaxis(array, 2, 0)
    options = {"photometric": "rgb", "alpha": "yes"} if kind == "alpha" else {}
    path = write_scene(tmp_path / "a.tif", bands, **options)
    scene = Scene(path)
    parts = [scene.read(top, min(top + 99, 300)) for top in (0, 99, 198, 297)]
    whole = np.concatenate([image for image, _ in parts])
    assert np.array_equal(whole, read_image(path))
    assert all(known.all() for _, known in parts)


def test_nodata_does_not_stretch_16_bits(tmp_path):
    image = noise(50, 40).astype(np.uint16) * 10 + 5000
    image[:9] = 65535
    scene = Scene(write_scene(tmp_path / "a.tif", image, nodata=65535))
    seen, known = scene.read(0, 50)
    assert not known[:9].any()
    assert (seen[9:].min(), seen[9:].max()) == (0, 255)


def test_scales_come_from_the_user_the_ground_or_the_training():
    contract = Contract(
        ["building"], scale=0.25, scales=[0.2, 0.3], resolution=[0.4, 0.5]
    )
    assert scales(contract, (0.2, 0.2), 2) == (2, 2)
    assert scales(contract, (0.2, 0.2)) == (0.5, 0.4)
    assert scales(contract) == (0.2, 0.3)
    assert scales(Contract(["building"], scale=0.25), (0.2, 0.2)) == (
        0.25,
        0.25,
    )
    assert scales(Contract(["building"])) is None


def test_a_truncated_scene_is_told(model, tmp_path):
    path = write_scene(
        tmp_path / "a.tif", noise(600, 300), compress="deflate", tiled=True,
        blockxsize=256, blockysize=256,
    )  # fmt: skip
    data = path.read_bytes()
    # The directory is at the front; the pixels of the last tiles are gone.
    path.write_bytes(data[: len(data) * 2 // 3])
    scene = Scene(path)
    tiling = Tiling(scene.shape, (1, 1), (32, 32), overlap=0.5)
    with pytest.raises(DataError, match=r"a\.tif.*truncated"):
        joined(strips(model, scene, tiling, DEFAULTS))


def test_four_bands_are_refused_unless_chosen(tmp_path):
    bands = np.moveaxis(noise(20, 20), 2, 0)
    bands = np.concatenate([bands, bands[:1]])
    path = write_scene(tmp_path / "a.tif", bands, photometric="minisblack")
    with pytest.raises(DataError, match=r"found 4.*--bands"):
        Scene(path)
    (image, _) = Scene(path, (3, 2, 1)).read(0, 20)
    assert np.array_equal(image, np.moveaxis(bands[[2, 1, 0]], 0, 2))
