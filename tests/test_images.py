"""Images and masks on disk: colours, depths, orientation, damage."""

import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image

from unet.files.errors import DataError
from unet.imagery.copies import perceptual_hash
from unet.imagery.mask_values import read_mask, read_values
from unet.imagery.png import write_mask, write_png
from unet.imagery.reading import read_image, to_uint8
from unet.imagery.resizing import resize_image

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(1, 255, (6, 8, 3)).astype(np.uint8)
GREY = COLOURS[..., 0]
OBJECT = np.array([[0, 1, 1], [0, 1, 0]], bool)


def stretched(array):
    """The stated rule: smallest value 0, largest 255."""
    array = array.astype(np.float64)
    low, high = array.min(), array.max()
    return np.rint((array - low) * 255 / (high - low))


def save(path, array, mode=None, **options):
    """Write with Pillow, which is not what reads it."""
    Image.fromarray(array, mode).save(path, **options)
    return path


@pytest.mark.parametrize(
    "ending", ["png", "PNG", "bmp", "tif", "TIFF", "webp", "WebP"]
)
def test_red_comes_first_in_every_lossless_format(tmp_path, ending):
    options = {"lossless": True} if ending.lower() == "webp" else {}
    path = save(tmp_path / f"a.{ending}", COLOURS, **options)
    image = read_image(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, COLOURS)


def test_red_jpeg_is_red(tmp_path):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 250
    image = read_image(save(tmp_path / "a.JPG", red, quality=95))
    assert np.abs(image.astype(int) - red).max() <= 3


# What the camera stored to show UPRIGHT, by EXIF orientation.
UPRIGHT = np.kron(
    np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255] * 3, [0] * 3,
             [90] * 3]]), np.ones((16, 16, 1))
).astype(np.uint8)  # fmt: skip
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation])
    path = save(tmp_path / "a.jpg", stored, exif=exif, quality=100,
                subsampling=0)  # fmt: skip
    image = read_image(path)
    assert image.shape == UPRIGHT.shape
    assert np.abs(image.astype(int) - UPRIGHT).max() <= 3


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
@pytest.mark.parametrize("alpha", [0, 128])
def test_alpha_is_dropped_and_hidden_colours_stay(tmp_path, ending, alpha):
    rgba = np.dstack([COLOURS, np.full(GREY.shape, alpha, np.uint8)])
    image = read_image(save(tmp_path / f"a.{ending}", rgba))
    np.testing.assert_array_equal(image, COLOURS)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_grey_is_repeated(tmp_path, ending):
    image = read_image(save(tmp_path / f"a.{ending}", GREY))
    np.testing.assert_array_equal(image, np.dstack([GREY] * 3))


def test_grey_with_alpha_is_repeated(tmp_path):
    both = np.dstack([GREY, np.zeros_like(GREY)])
    image = read_image(save(tmp_path / "a.png", both, "LA"))
    np.testing.assert_array_equal(image, np.dstack([GREY] * 3))


def test_one_bit_image_is_black_and_white(tmp_path):
    image = read_image(save(tmp_path / "a.png", OBJECT))
    np.testing.assert_array_equal(image, np.dstack([OBJECT * 255] * 3))


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_palette_is_looked_up(tmp_path, ending):
    palette = Image.fromarray(COLOURS).quantize(7)
    palette.save(tmp_path / f"a.{ending}")
    image = read_image(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(image, np.array(palette.convert("RGB")))


def test_cmyk_jpeg_keeps_its_colours(tmp_path):
    colour = np.full((16, 16, 3), [200, 30, 90], np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(colour).convert("CMYK").save(path, quality=100)
    image = read_image(path)
    assert np.abs(image.astype(int) - colour).max() <= 3


def test_16_bit_png_is_stretched_over_the_channels_together(tmp_path):
    deep = RNG.integers(300, 9000, (6, 8, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), deep[..., ::-1])
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image, stretched(deep))


def test_16_bit_grey_tiff_is_stretched(tmp_path):
    deep = np.array([[1000, 2000], [3000, 5000]], np.uint16)
    image = read_image(save(tmp_path / "a.tif", deep))
    np.testing.assert_array_equal(image[..., 0], [[0, 64], [128, 255]])
    np.testing.assert_array_equal(image, image[..., :1].repeat(3, axis=2))


def test_16_bit_colour_tiff_is_stretched(tmp_path):
    deep = RNG.integers(300, 9000, (6, 8, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.tif"), deep[..., ::-1])
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image, stretched(deep))


def test_float_colour_tiff_from_0_to_1_is_multiplied_by_255(tmp_path):
    values = RNG.uniform(0.2, 0.8, (6, 8, 3)).astype(np.float32)
    cv2.imwrite(str(tmp_path / "a.tif"), values[..., ::-1])
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image, np.rint(values * np.float32(255)))


def test_float_grey_tiff_from_0_to_1_is_multiplied_by_255(tmp_path):
    values = np.array([[0.0, 0.2], [0.4, 0.8]], np.float32)
    image = read_image(save(tmp_path / "a.tif", values))
    np.testing.assert_array_equal(image[..., 0], [[0, 51], [102, 204]])


def test_floats_beyond_1_and_below_0_are_stretched_not_clipped():
    values = np.array([-1.0, 0.0, 4.0], np.float32)
    np.testing.assert_array_equal(to_uint8(values), [0, 51, 255])
    np.testing.assert_array_equal(to_uint8(values[1:] / 2), [0, 255])
    values = np.array([-1.0, 0.5, 1.0], np.float32)
    np.testing.assert_array_equal(to_uint8(values), [0, 191, 255])


def test_signed_integers_are_stretched():
    values = np.array([-100, 0, 155], np.int16)
    np.testing.assert_array_equal(to_uint8(values), [0, 100, 255])


def test_8_bits_stay_as_they_are():
    np.testing.assert_array_equal(to_uint8(GREY), GREY)


def test_deep_image_of_one_value_is_black():
    assert not to_uint8(np.full((2, 2), 700, np.uint16)).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(tmp_path, bad):
    values = np.zeros((4, 4, 3), np.float32)
    values[1, 2, 0] = bad
    cv2.imwrite(str(tmp_path / "a.tif"), values)
    with pytest.raises(DataError, match=r"a\.tif.*NaN or infinity"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "bmp", "webp"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_truncated_image_is_refused_by_name(tmp_path, ending, kept):
    path = tmp_path / f"cut.{ending}"
    noise = RNG.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    whole = save(path, noise).read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DataError, match=rf"cut\.{ending}"):
        read_image(path)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_bytes_behind_the_end_of_an_image_do_no_harm(tmp_path, ending):
    path = save(tmp_path / f"a.{ending}", COLOURS)
    whole = read_image(path)
    path.write_bytes(path.read_bytes() + bytes(500))
    np.testing.assert_array_equal(read_image(path), whole)


@pytest.mark.parametrize(
    "data", [b"", b"no image\n"], ids=["no bytes", "a text"]
)
def test_file_that_is_no_image_is_refused_by_name(tmp_path, data):
    path = tmp_path / "fake.png"
    path.write_bytes(data)
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match=rf"fake\.png.*{len(data)} bytes"):
            read(path)


def test_missing_image_and_directory_are_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"none\.png.*No such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(DataError, match="Is a directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("end", [True, False], ids=["whole", "truncated"])
def test_image_of_absurd_size_is_refused_by_name(tmp_path, end):
    def chunk(kind, data):
        body = kind + data
        sizes = (
            struct.pack(">I", len(data)),
            struct.pack(">I", zlib.crc32(body)),
        )
        return sizes[0] + body + sizes[1]

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"IDAT", zlib.compress(bytes(100)))
    (tmp_path / "huge.png").write_bytes(data + chunk(b"IEND", b"") * end)
    with pytest.raises(DataError, match=r"huge\.png"):
        read_image(tmp_path / "huge.png")


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "bmp", "webp"])
@pytest.mark.parametrize("lost", [8, 2000])
def test_truncated_image_prints_nothing(tmp_path, ending, lost, capfd):
    path = tmp_path / f"cut.{ending}"
    noise = RNG.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    path.write_bytes(save(path, noise).read_bytes()[:-lost])
    capfd.readouterr()
    with pytest.raises(DataError, match=rf"cut\.{ending}"):
        read_image(path)
    assert "".join(capfd.readouterr()) == ""


def test_written_image_is_read_back(tmp_path):
    write_png(tmp_path / "new" / "a.png", COLOURS)
    np.testing.assert_array_equal(read_image(tmp_path / "new/a.png"), COLOURS)
    other = np.array(Image.open(tmp_path / "new" / "a.png"))
    np.testing.assert_array_equal(other, COLOURS)


def test_bool_mask_is_written_as_0_and_255_in_8_bits(tmp_path):
    write_png(tmp_path / "a.png", OBJECT)
    with Image.open(tmp_path / "a.png") as file:
        assert file.mode == "L"
        np.testing.assert_array_equal(np.array(file), OBJECT * 255)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), OBJECT)


def test_window_of_a_mask_is_written_as_an_ordinary_png(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(60):
        shape = rng.integers(1, 200, 2)
        top, left = rng.integers(0, shape)
        height, width = rng.integers(0, shape - (top, left) + 1)
        window = rng.random((height, width)) < 0.5
        path = tmp_path / "mask.png"
        write_mask(path, window, int(top), int(left), tuple(shape.tolist()))
        expected = np.zeros(shape, np.uint8)
        expected[top : top + height, left : left + width][window] = 255
        with Image.open(path) as file:
            assert file.mode == "L"
            np.testing.assert_array_equal(np.array(file), expected)
        with Image.open(path) as file:
            file.verify()  # its checksums
        np.testing.assert_array_equal(read_mask(path), expected > 0)


def test_grey_array_is_written_as_it_is(tmp_path):
    write_png(tmp_path / "a.png", GREY)
    np.testing.assert_array_equal(
        np.array(Image.open(tmp_path / "a.png")), GREY
    )


def layers(*factors):
    """The object in several channels, each with its own bright value."""
    return np.dstack([OBJECT * value for value in factors]).astype(np.uint8)


MASKS = {
    "0 and 1": OBJECT.astype(np.uint8),
    "0 and 255": (OBJECT * 255).astype(np.uint8),
    "0 and 7": (OBJECT * 7).astype(np.uint8),
    "0 and 65535": (OBJECT * 65535).astype(np.uint16),
    "one bit": OBJECT,
    "colour": layers(200, 0, 50),
    "blue": layers(0, 0, 255),
    "white on black, opaque": np.dstack([layers(255, 255, 255),
        np.full(OBJECT.shape, 255, np.uint8)]),
    "white, shape in alpha": np.dstack([np.full((2, 3, 3), 255, np.uint8),
        layers(255)]),
    "black, shape in alpha": np.dstack([np.zeros((2, 3, 3), np.uint8),
        layers(255)]),
}  # fmt: skip


@pytest.mark.parametrize("kind", MASKS)
def test_mask_of_two_values_is_read(tmp_path, kind):
    mask = read_mask(save(tmp_path / "m.png", MASKS[kind]), (2, 3))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, OBJECT)


@pytest.mark.parametrize("index", [1, 3])
def test_palette_mask_is_read(tmp_path, index):
    image = Image.fromarray(OBJECT.astype(np.uint8) * index, "P")
    image.putpalette([0, 0, 0] * index + [128, 0, 0])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), OBJECT)


def test_mask_of_nothing_and_mask_of_everything(tmp_path):
    shape = (4, 5)
    for value, expected in ((0, False), (1, True), (255, True)):
        path = save(tmp_path / "m.png", np.full(shape, value, np.uint8))
        assert (read_mask(path, shape) == expected).all()


def test_opaque_black_mask_holds_no_object(tmp_path):
    black = np.zeros((4, 5, 4), np.uint8)
    black[..., 3] = 255
    assert not read_mask(save(tmp_path / "m.png", black)).any()


def test_opaque_white_mask_is_all_object(tmp_path):
    white = np.full((4, 5, 4), 255, np.uint8)
    assert read_mask(save(tmp_path / "m.png", white)).all()


def test_grey_mask_is_refused_with_its_values(tmp_path):
    path = save(tmp_path / "grey.png", np.array([[0, 120, 255]], np.uint8))
    with pytest.raises(DataError, match=r"grey\.png.*3 \(0, 120, 255\)"):
        read_mask(path)


def test_grey_mask_of_many_values_names_the_first(tmp_path):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    with pytest.raises(DataError, match=r"256 \(0, 1, 2, 3, 4, 5, \.\.\.\)"):
        read_mask(save(tmp_path / "grey.png", values))


def test_jpeg_mask_is_refused(tmp_path):
    mask = np.kron(OBJECT, np.ones((9, 9))).astype(np.uint8) * 255
    with pytest.raises(DataError, match=r"m\.jpg.*grey mask"):
        read_mask(save(tmp_path / "m.jpg", mask, quality=60))


@pytest.mark.parametrize("ground", [[255, 255, 255], [0, 255, 0]])
def test_mask_of_two_colours_without_black_is_refused(tmp_path, ground):
    mask = np.where(OBJECT[..., None], [255, 0, 0], ground).astype(np.uint8)
    with pytest.raises(DataError, match=r"m\.png"):
        read_mask(save(tmp_path / "m.png", mask))


def test_mask_of_wrong_size_is_refused_with_both_sizes(tmp_path):
    path = save(tmp_path / "m.png", np.zeros((20, 30), np.uint8))
    with pytest.raises(DataError, match=r"m\.png.*64 x 48.*found 30 x 20"):
        read_mask(path, (48, 64))


def test_shrinking_an_image_averages_areas():
    image = np.zeros((4, 6, 3), np.uint8)
    image[:2, :3] = [10, 20, 30]
    image[0, 0] = [100, 20, 30]
    small = resize_image(image, (2, 2))
    assert small.dtype == np.uint8
    np.testing.assert_array_equal(small[0, 0], [25, 20, 30])
    assert not small[1].any()
    assert not small[0, 1].any()


def test_resizing_to_the_same_size_changes_nothing():
    np.testing.assert_array_equal(resize_image(COLOURS, (6, 8)), COLOURS)


def test_enlarging_an_image_stays_between_its_values():
    image = np.array([[[0] * 3, [200] * 3]], np.uint8)
    large = resize_image(image, (3, 8))
    assert large.shape == (3, 8, 3)
    assert (np.diff(large[0, :, 0].astype(int)) >= 0).all()
    assert (large[0, 0, 0], large[0, -1, 0]) == (0, 200)


def test_perceptual_hash_knows_a_copy_from_another_image():
    smooth = cv2.GaussianBlur(
        RNG.integers(0, 255, (64, 64, 3)).astype(np.uint8), (0, 0), 4
    )
    brighter = np.clip(smooth.astype(int) + 5, 0, 255).astype(np.uint8)
    bits = perceptual_hash(smooth)
    assert bits.shape == (64,)
    assert (bits != perceptual_hash(brighter)).sum() <= 4
    assert (bits != perceptual_hash(smooth[::-1])).sum() > 10


def test_colours_of_a_mask_are_named_as_people_write_them(tmp_path):
    colours = np.zeros((2, 3, 3), np.uint8)
    colours[0, 0], colours[0, 1] = (0x3C, 0x10, 0x98), (0xFE, 0xDD, 0x3A)
    write_png(tmp_path / "m.png", colours)
    with pytest.raises(DataError, match="#000000, #3C1098, #FEDD3A"):
        read_mask(tmp_path / "m.png")


def test_more_bands_than_pillow_knows_are_read_without_a_word(tmp_path):
    path = tmp_path / "a.tif"
    bands = np.arange(8 * 12, dtype=np.uint8).reshape(8, 3, 4)
    with rasterio.open(
        path, "w", "GTiff", width=4, height=3, count=8, dtype="uint8"
    ) as file:
        file.write(bands)
    code = (
        "from unet.imagery.reading import read_image; "
        f"read_image({str(path)!r}, [8])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
    np.testing.assert_array_equal(read_image(path, [8])[..., 0], bands[7])


@pytest.mark.parametrize("ending", ["img", "jp2", "ppm", "pnm", "hdr"])
def test_rasters_of_other_kinds_are_read(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    high, wide = 24, 40
    image = np.random.default_rng(0).integers(0, 256, (high, wide, 3), np.uint8)
    image[0, 0], image[0, 1] = 0, 255
    if ending in ("img", "jp2"):
        driver, lossless = {
            "img": ("HFA", {}),
            "jp2": ("JP2OpenJPEG", {"QUALITY": 100, "REVERSIBLE": "YES"}),
        }[ending]
        with rasterio.open(
            path, "w", driver=driver, width=wide, height=high, count=3,
            dtype="uint8", **lossless,
        ) as file:  # fmt: skip
            file.write(np.moveaxis(image, 2, 0))
    elif ending == "hdr":
        cv2.imwrite(str(path), image[..., ::-1].astype(np.float32))
    else:
        Image.fromarray(image).save(path)
    off = np.abs(read_image(path).astype(int) - image)
    assert off.max() <= (2 if ending == "hdr" else 0)


def test_raster_that_claims_too_much_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=30, height=20, count=3, dtype="uint16"
    ) as file:
        file.write(np.ones((3, 20, 30), np.uint16))
    assert read_image(path, most=600).shape == (20, 30, 3)
    for read in (read_image, read_values):
        with pytest.raises(DataError, match=r"at most 599 pixels.*30 x 20"):
            read(path, most=599)
    with pytest.raises(DataError, match=r"at most 599 pixels"):
        read_image(path, bands=(1, 2, 3), most=599)


def test_the_mask_of_a_large_scene_costs_what_its_object_costs(tmp_path):
    """Of 8 bits, 2,000 masks of 12,000 x 12,000 would take a gigabyte."""
    shape, window = (4101, 4099), np.eye(30, 13, dtype=bool)
    mask = np.zeros(shape, bool)
    mask[2000:2030, 4086:] = window
    path = tmp_path / "a.png"
    write_mask(path, window, 2000, 4086, shape)
    assert path.stat().st_size < 4000
    for pixels in (
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED) == 255,
        np.asarray(Image.open(path)),
        read_mask(path, shape),
    ):
        assert np.array_equal(pixels, mask)
    # At most so large they have 8 bits, as the article's have.
    write_mask(path, window, 0, 0, (4096, 4096))
    assert np.asarray(Image.open(path)).dtype == np.uint8
    assert path.stat().st_size < 20_000
