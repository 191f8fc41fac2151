"""Bands of images: read, shown, kept by the scripts, seen by networks."""

import argparse
from dataclasses import replace

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from conftest import write_sample
from test_dataset import load as load_plain
from test_dataset import must_not_read, no_progress
from unet.files.errors import DataError
from unet.files.folders import find_samples
from unet.imagery.bands import PICTURES, Bands
from unet.imagery.georeference import read_georeference
from unet.imagery.png import write_png
from unet.imagery.rasters import Scene
from unet.imagery.reading import ALL, read_image, read_values
from unet.imagery.resampling import Reduced
from unet.imagery.resizing import resize_image
from unet.imagery.saving import kept_bands, save_image
from unet.inspection.listing import tree_items
from unet.inspection.mending import mend
from unet.inspection.whole_set import check
from unet.network import contract_rules
from unet.network.contract import Preprocessing
from unet.prediction.strip import bands_of
from unet.terminal import band_options
from unet.training import dataset, fitting
from unet.training.augmentation import LEVELS, Augmentation
from unet.training.image_bands import seen_bands

RNG = np.random.default_rng(7)
NAMES = ("blue", "green", "red", "near infrared")


def noise(count, dtype="uint8", size=(24, 30), most=None):
    """Bands: H x W x count."""
    most = most or np.iinfo(dtype).max
    return RNG.integers(0, most, (*size, count), dtype, endpoint=True)


def write_bands(path, image, names=(), **profile):
    """Write H x W x bands as GeoTIFF, none of which is called alpha."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = image.shape
    profile = {"photometric": "minisblack", **profile}
    with rasterio.open(
        path, "w", "GTiff", width, height, count, dtype=image.dtype, **profile
    ) as file:
        file.write(np.moveaxis(image, 2, 0))
        for number, name in enumerate(names, start=1):
            file.set_band_description(number, name)
    return path


def make_band_tree(root, images, names=()):
    """A sample for each image, with a roof in its corner."""
    for k, image in enumerate(images):
        mask = np.zeros(image.shape[:2], bool)
        mask[2 : 8 + k, 3:12] = True
        write_sample(root, f"a{k}", np.zeros((4, 4, 3), np.uint8), [mask])
        (root / f"a{k}" / "images" / f"a{k}.png").unlink()
        write_bands(root / f"a{k}" / "images" / f"a{k}.tif", image, names)
    return root


def load(root, bands=None, size=(24, 30), progress=no_progress, **how):
    samples = find_samples(root)
    how = {"bands": bands, **how}
    return dataset.load(samples, size, ["building"], progress, **how)


# Reading ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_bands_are_read_as_the_file_holds_them(tmp_path, dtype):
    image = noise(5, dtype)
    path = write_bands(tmp_path / "a.tif", image)
    for bands, wanted in (((4, 3, 2, 1), [3, 2, 1, 0]), ((5,), [4])):
        values = read_values(path, bands)
        assert values.dtype == dtype
        assert np.array_equal(values, image[..., wanted])
    assert np.array_equal(read_values(path, ALL), image)
    shown = read_image(path, (4, 3, 2, 1))
    assert shown.shape == (24, 30, 3)
    if dtype == "uint8":
        assert np.array_equal(shown, image[..., [3, 2, 1]])
        assert np.array_equal(read_image(path, first=True), image[..., :3])
        assert np.array_equal(read_image(path, (2, 5)), image[..., [1, 1, 1]])


def test_bands_of_photos_are_read(tmp_path):
    rgba = noise(4)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert np.array_equal(read_values(tmp_path / "a.png", ALL), rgba)
    reordered = read_values(tmp_path / "a.png", (4, 1))
    assert np.array_equal(reordered, rgba[..., [3, 0]])
    Image.fromarray(rgba[..., 0]).save(tmp_path / "grey.png")
    grey = read_values(tmp_path / "grey.png", ALL)
    assert np.array_equal(grey, rgba[..., :1])
    assert read_values(tmp_path / "grey.png").shape == (24, 30, 3)
    deep = noise(3, "uint16")
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    assert np.array_equal(read_values(tmp_path / "deep.png", (2,)),
                          deep[..., 1:2])  # fmt: skip
    with pytest.raises(DataError, match=r"a\.png: .* bands 5, found 4"):
        read_values(tmp_path / "a.png", (5,))


def test_a_file_of_other_bands_is_refused_by_the_bands_name(tmp_path):
    bands = Bands((4, 3, 2), NAMES[:0:-1], "uint8")
    three = write_bands(tmp_path / "three.tif", noise(3))
    match = r"three\.tif: expected band 4 \(near infrared\).*found 3 bands"
    with pytest.raises(DataError, match=match):
        bands.read(three)
    with pytest.raises(DataError, match=match):
        Scene(three, bands)
    other = write_bands(tmp_path / "o.tif", noise(4), ["a", "Green", "red"])
    bands.read(other)  # it does not say what its fourth band is
    other = write_bands(tmp_path / "o.tif", noise(4), [*NAMES[:3], "swir"])
    match = r"expected near infrared in band 4.* found swir"
    for read in (bands.read, lambda path: Scene(path, bands)):
        with pytest.raises(DataError, match=match):
            read(other)
    deep = write_bands(tmp_path / "deep.tif", noise(4, "uint16"))
    for read in (bands.read, lambda path: Scene(path, bands)):
        with pytest.raises(DataError, match=r"expected 8 bits.*found 16 bits"):
            read(deep)


def test_pictures_show_the_first_three_bands_between_the_limits():
    limits = ((100.0, 300.0), (0.0, 1000.0), (5.0, 10.0), (0.0, 1.0))
    bands = Bands((4, 3, 2, 1), (None,) * 4, "uint16", limits)
    values = np.array([[[100, 1000, 7, 9], [400, 500, 4, 9]]], np.uint16)
    assert bands.picture(values).tolist() == [[[0, 255, 102], [255, 128, 0]]]
    two = Bands((2, 1), (None,) * 2, "uint8")
    grey = np.array([[[7, 200]]], np.uint8)
    assert two.picture(grey).tolist() == [[[7, 7, 7]]]
    photo = noise(3)
    assert PICTURES.picture(photo) is photo


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_any_number_of_bands_is_resized_as_each_alone(dtype):
    image = noise(7, dtype, (40, 50))
    for size in ((20, 30), (64, 64)):
        alone = [resize_image(image[..., k].copy(), size) for k in range(7)]
        # OpenCV rounds single channels of 16 bits otherwise at times.
        off = np.abs(resize_image(image, size) - np.dstack(alone).astype(int))
        assert off.max() <= (dtype == "uint16")


def test_a_scene_of_bands_is_read_and_reduced_by_rows(tmp_path):
    image = noise(5, "uint16", (300, 40), most=3000)
    image[:20] = 0
    path = write_bands(tmp_path / "a.tif", image, nodata=0)
    bands = Bands((5, 2), (None, None), "uint16")
    scene = Scene(path, bands)
    values, known = scene.read(10, 30)
    assert np.array_equal(values, image[10:30, :, [4, 1]])
    assert not known[:10].any()
    reduced, known = Reduced(scene, (150, 20)).read(0, 150, 150)
    means = image[..., [4, 1]].reshape(150, 2, 20, 2, 2).mean(axis=(1, 3))
    assert reduced.dtype == np.uint16
    assert np.abs(reduced[20:] - means[20:]).max() <= 1
    assert not known[:10].any()


def test_a_band_that_is_called_alpha_can_be_learned_from(tmp_path):
    image = noise(4)
    image[0] = 0
    how = {"photometric": "rgb", "alpha": "yes"}
    path = write_bands(tmp_path / "a.tif", image, **how)
    with rasterio.open(path) as raster:
        assert raster.colorinterp[3].name == "alpha"
    bands = Bands((4, 1), (None, None), "uint8")
    assert np.array_equal(bands.read(path), image[..., [3, 0]])
    values, known = Scene(path, bands).read(0, 24)
    assert np.array_equal(values, image[..., [3, 0]])
    assert known.all()
    assert kept_bands(path) is None
    assert kept_bands(path, ALL).numbers == (1, 2, 3, 4)


# Writing ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "dtype", "ending"),
    [(3, "uint8", "png"), (1, "uint8", "png"), (3, "uint16", "tif"),
     (1, "uint16", "tif"), (4, "uint8", "tif"), (16, "uint16", "tif")],
)  # fmt: skip
def test_what_a_png_of_8_bits_cannot_hold_becomes_a_geotiff(
    tmp_path, count, dtype, ending
):
    image = noise(count, dtype)
    place = {"crs": "EPSG:32645", "transform": from_origin(3e5, 3e6, 2, 2)}
    names = [f"b{k}" for k in range(count)]
    path = write_bands(tmp_path / "a.tif", image, names, **place)
    bands = kept_bands(path)
    assert bands == kept_bands(path.read_bytes())
    kept = (bands or PICTURES).read(path)
    where = read_georeference(path)
    saved = save_image(tmp_path / "out", "x.1", kept, where, bands)
    assert saved == tmp_path / "out" / f"x.1.{ending}"
    assert read_georeference(saved) == where
    assert np.array_equal(read_values(saved, ALL)[..., :count], image)
    if bands:
        assert kept_bands(saved) == bands
        assert bands.descriptions == tuple(names)


def test_scripts_that_copy_images_keep_their_bands(script, tmp_path):
    image = noise(4, "uint16", (64, 64))
    place = {"crs": "EPSG:32645", "transform": from_origin(3e5, 3e6, 2, 2)}
    write_bands(tmp_path / "images" / "a.tif", image, NAMES, **place)
    mask = np.zeros((64, 64), bool)
    mask[8:40, 8:50] = True
    write_png(tmp_path / "masks" / "a.png", mask)
    script("polygon_to_mask", "images", "masks", "--out", "whole")
    script("tile", "images", "masks", "--size", 32, "--out", "tiles")
    script("resize", "whole", "--size", 32, "--out", "small")
    script("polygon_to_mask", "images", "masks", "--bands", "4,1",
           "--out", "two")  # fmt: skip
    whole = tmp_path / "whole" / "a" / "images" / "a.tif"
    assert np.array_equal(read_values(whole, ALL), image)
    assert kept_bands(whole).descriptions == NAMES
    assert read_georeference(whole) is not None
    name = "a_r00032_c00000_s32"
    tile = tmp_path / "tiles" / name / "images" / f"{name}.tif"
    assert np.array_equal(read_values(tile, ALL), image[32:, :32])
    assert kept_bands(tile).descriptions == NAMES
    small = tmp_path / "small" / "a" / "images" / "a.tif"
    assert np.array_equal(
        read_values(small, ALL), resize_image(image, (32, 32))
    )
    two = tmp_path / "two" / "a" / "images" / "a.tif"
    assert np.array_equal(read_values(two, ALL), image[..., [3, 0]])
    assert kept_bands(two).descriptions == (NAMES[3], NAMES[0])


# Data sets -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_arrays_hold_the_bands_that_were_asked_for(tmp_path, dtype):
    images = [noise(5, dtype) for _ in range(3)]
    tree = make_band_tree(tmp_path / "t", images, [*NAMES, "height"])
    data = load(tree, (4, 3, 2, 1))
    assert data.X.dtype == dtype
    assert np.array_equal(data.X, np.array(images)[..., [3, 2, 1, 0]])
    assert data.bands.numbers == (4, 3, 2, 1)
    assert data.bands.descriptions == NAMES[::-1]
    again = load(tree, (4, 3, 2, 1), progress=must_not_read)
    assert (again.bands, again.digest) == (data.bands, data.digest)
    every = load(tree, ALL)
    assert every.X.shape == (3, 24, 30, 5)
    assert every.bands.text == "1,2,3,4,5"
    assert load(tree, (5,)).X.shape == (3, 24, 30, 1)
    assert load(tree, bands=data.bands).digest == data.digest
    assert np.isfinite(every.traits()).all()


def test_three_bands_of_16_bits_are_not_stretched_by_the_image(tmp_path):
    images = [noise(3, "uint16", most=900), noise(3, "uint16")]
    data = load_plain(make_band_tree(tmp_path / "t", images), (24, 30))
    assert data.X.dtype == np.uint16
    assert np.array_equal(data.X, images)
    assert data.bands == Bands(dtype="uint16")
    grey = load_plain(
        make_band_tree(tmp_path / "g", [noise(1, "uint16")]), (24, 30)
    )
    assert grey.X.shape == (1, 24, 30, 3)


@pytest.mark.parametrize(
    ("images", "bands", "told"),
    [
        ([noise(5), noise(4)], ALL,
         r"a1\.tif: expected 5 bands, as in .*a0\.tif, found 4 bands"),
        ([noise(4), noise(4, "uint16")], (4, 1),
         r"a1\.tif: expected 8 bits, as in .*a0\.tif, found 16 bits"),
        ([noise(3), noise(3, "uint16")], None,
         r"a1\.tif: expected 8 bits, .* found 16 bits"),
        ([noise(3, "uint16"), noise(3)], None,
         r"a1\.tif: expected 16 bits, .* found 8 bits"),
        ([noise(4), noise(3)], (4, 1),
         r"a1\.tif: expected band 4, .* found 3 bands"),
        ([noise(3)], (1, 7), r"a0\.tif: expected band 7, .* found 3 bands"),
        ([noise(17)], ALL, r"a0\.tif: expected up to 16 bands, found 17"),
        ([noise(2).astype(np.float32)], ALL,
         r"a0\.tif: expected bands of 8 or 16 bits .* found float32"),
    ],
)  # fmt: skip
def test_images_of_a_training_have_the_same_bands(
    tmp_path, images, bands, told
):
    tree = make_band_tree(tmp_path / "t", images)
    with pytest.raises(DataError, match=told):
        load(tree, bands)


def test_bands_in_another_order_are_told_by_what_files_call_them(tmp_path):
    tree = make_band_tree(tmp_path / "t", [noise(4), noise(4)])
    write_bands(tree / "a0" / "images" / "a0.tif", noise(4), NAMES)
    assert load(tree, ALL).bands.descriptions == NAMES
    write_bands(tree / "a1" / "images" / "a1.tif", noise(4), NAMES[::-1])
    with pytest.raises(DataError, match=r"a1\.tif: expected blue in band 1"):
        load(tree, ALL)


def test_contrast_is_for_photos(tmp_path):
    tree = make_band_tree(tmp_path / "t", [noise(4)])
    with pytest.raises(DataError, match=r"contrast clahe .* found band 1, b"):
        load(tree, ALL, contrast="clahe")


def test_limits_are_percentiles_of_all_labelled_pixels(tmp_path):
    images = [noise(2, "uint16", most=4000 + 999 * k) for k in range(3)]
    images[1][0, 0] = 65535  # a cloud
    tree = make_band_tree(tmp_path / "t", images)
    unknown = np.zeros((24, 30), bool)
    unknown[12:] = True
    write_png(tree / "a0" / "masks" / "ignore" / "i.png", unknown)
    images[0][12:] = 0  # no data
    write_bands(tree / "a0" / "images" / "a0.tif", images[0])
    data = load(tree, ALL)
    bands = seen_bands(data)
    labelled = np.concatenate(
        [images[0][:12].reshape(-1, 2), *(x.reshape(-1, 2) for x in images[1:])]
    )
    expected = np.percentile(labelled, [2, 98], axis=0, method="inverted_cdf").T
    assert np.array_equal(bands.limits, expected)
    mean, variance = fitting.channel_statistics(data.X, [0, 2], bands.limits)
    low, high = expected.T.astype(float)
    seen = ((data.X[[0, 2]] - low) / (high - low)).clip(0, 1)
    assert mean == pytest.approx(seen.mean(axis=(0, 1, 2)), rel=1e-5)
    assert variance == pytest.approx(seen.var(axis=(0, 1, 2)), rel=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_band_without_a_range_is_refused(tmp_path, dtype):
    image = noise(3, dtype)
    image[..., 1] = 9
    tree = make_band_tree(tmp_path / "t", [image, image])
    match = r"band 2: expected different values, found 9 in all 2 training"
    with pytest.raises(DataError, match=match):
        seen_bands(load(tree, ALL))
    image[0, 0, 1] = 90
    tree = make_band_tree(tmp_path / "u", [image, image])
    if dtype == "uint8":
        assert seen_bands(load(tree, ALL)).limits is None
        return
    match = r"band 2: expected a range of values, found 9 at the 2nd and at"
    with pytest.raises(DataError, match=match):
        seen_bands(load(tree, ALL))


# Augmentation ----------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("count", "dtype"), [(1, "uint8"), (6, "uint16")])
def test_any_bands_are_augmented(level, count, dtype):
    limits = [(1000.0, 4000.0)] * count if dtype == "uint16" else None
    bands = Bands(tuple(range(1, count + 1)), (), dtype, limits)
    X = np.stack([noise(count, dtype, (32, 32)) for _ in range(4)])
    Y = (X[..., 0] > X[..., 0].mean()).astype(np.uint8)
    before = X.copy()
    augment = Augmentation(level, bands)
    new, ids = augment(X, Y, np.random.default_rng(3))
    again, _ = augment(X, Y, np.random.default_rng(3))
    assert (new.shape, new.dtype, ids.shape) == (X.shape, X.dtype, Y.shape)
    assert np.array_equal(new, again)
    assert np.array_equal(X, before)
    assert (level == "none") == np.array_equal(new, X)
    if level in ("colour", "all", "wide") and limits:
        assert new.min() >= 1000
        assert new.max() <= 4000


def test_geometry_moves_every_band_alike():
    X = np.repeat(noise(1, size=(32, 32))[None], 6, axis=-1)
    Y = (X[..., 0] > 99).astype(np.uint8)
    bands = Bands(tuple(range(1, 7)), (), "uint8")
    augment = Augmentation("geometry", bands)
    for seed in range(8):
        new, _ = augment(X, Y, np.random.default_rng(seed))
        assert (new == new[..., :1]).all()


def test_light_changes_each_band_by_itself():
    X = np.full((1, 16, 16, 4), 100, np.uint8)
    Y = np.zeros((1, 16, 16), np.uint8)
    augment = Augmentation("colour", Bands((1, 2, 3, 4), (), "uint8"))
    means = [
        augment(X, Y, np.random.default_rng(seed))[0].mean(axis=(0, 1, 2))
        for seed in range(20)
    ]
    assert np.std(means, axis=0).min() > 2
    assert np.std(means, axis=1).max() > 2


# Contract and options --------------------------------------------------------


def test_a_contract_says_what_a_network_sees():
    band = {"number": 4, "description": "nir"}
    other = {"number": 2, "description": None}
    seen = Preprocessing(bands=[band, other], limits=[[1, 9], [2, 8]])
    bands = bands_of(seen)
    assert bands.names() == ["band 4 (nir)", "band 2"]
    assert (bands.dtype, bands.limits) == ("uint16", ((1, 9), (2, 8)))
    chosen = bands_of(seen, (7, 1))
    assert chosen.numbers == (7, 1)
    assert chosen.limits == bands.limits
    match = r"bands 3,2,1: expected 2, for band 4 \(nir\), band 2 of the model"
    with pytest.raises(DataError, match=match):
        bands_of(seen, (3, 2, 1))
    assert bands_of(replace(seen, limits=None)).dtype == "uint8"
    assert bands_of(Preprocessing()) == PICTURES
    assert bands_of(Preprocessing(), (3, 2, 1)) == Bands((3, 2, 1))
    with pytest.raises(DataError, match="expected 3, for red, green, blue"):
        bands_of(Preprocessing(), (4, 3, 2, 1))


def test_as_many_bands_are_read_as_a_contract_may_have():
    most = ",".join(map(str, range(1, contract_rules.MOST_BANDS + 1)))
    assert len(band_options.numbers(most)) == 16
    with pytest.raises(argparse.ArgumentTypeError, match="1 to 16 numbers"):
        band_options.numbers(f"{most},17")


def test_bands_are_written_in_one_form():
    assert band_options.numbers("all") == ALL
    assert band_options.numbers(None) is None
    assert band_options.numbers("4,3,2,1") == (4, 3, 2, 1)
    assert Bands((4, 3)).text == "4,3"
    assert PICTURES.text is None


# Inspection ------------------------------------------------------------------


def findings_of(tmp_path, images):
    tree = make_band_tree(tmp_path / "tree", images)
    items, _ = tree_items(tree)
    exams, findings = check(tmp_path, items, 3, lambda items, *_: items)
    trees = {"": tmp_path / "mended"}
    result = mend(exams, findings, trees, 3, lambda items, *_: items)
    return sorted((f.kind, f.path.stem) for f in findings), result


def test_a_set_of_bands_has_no_defect_and_is_copied_as_it_is(tmp_path):
    images = [noise(4, "uint16") for _ in range(3)]
    found, result = findings_of(tmp_path, images)
    assert not {"bands", "deep", "cmyk"} & {kind for kind, _ in found}
    for k, image in enumerate(images[: result.written]):
        path = tmp_path / "mended" / f"a{k}" / "images" / f"a{k}.tif"
        assert np.array_equal(read_values(path, ALL), image)


def test_an_image_of_other_bands_than_the_rest_is_found(tmp_path):
    images = [noise(4), noise(4), noise(4, "uint16"), noise(5), noise(3)]
    found, result = findings_of(tmp_path, images)
    odd = [(kind, stem) for kind, stem in found if kind in ("bands", "deep")]
    assert odd == [("bands", "a2"), ("bands", "a3"), ("bands", "a4")]
    assert {name for name, _ in result.left_out} >= {"a2", "a3", "a4"}
