"""The road from real images and annotations to folders."""

import cv2
import numpy as np
import pytest
import rasterio
import shapely

from conftest import REAL, needs_real_data, run_script
from unet.annotations.article import read_article_text
from unet.annotations.placing import in_pixels
from unet.annotations.reading import read_file
from unet.files.csv_tables import read_table
from unet.files.folders import class_names, find_samples
from unet.imagery.mask_values import read_class_ids, read_mask, read_values
from unet.imagery.reading import read_image


@needs_real_data
def test_900_tiles_become_720_training_and_180_test_folders(tmp_path):
    source = REAL / "buildings"
    result = run_script(
        "util/polygon_to_mask.py", source / "images", source / "annotations",
        source / "masks", "--out", "folders", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "900 images" in result.stdout
    assert "refused" not in result.stderr
    result = run_script(
        "util/split.py", "folders", "--from", source / "index.csv",
        "--link", "--out", "data", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    train = find_samples(tmp_path / "data" / "train")
    test = find_samples(tmp_path / "data" / "test")
    assert (len(train), len(test)) == (720, 180)

    table = read_table(source / "index.csv", ["name", "annotation"])
    kinds = dict(zip(table["name"], table["annotation"], strict=True))
    shares = {"text": [], "mask": []}
    for sample in test:
        image = read_image(sample.image)
        ids = read_class_ids(sample, ["building"], image.shape[:2])
        kind = "text" if kinds[sample.name] == "text" else "mask"
        shares[kind].append(ids.mean())
        if kind == "text":
            path = source / "annotations" / f"{sample.name}.txt"
            annotation = read_article_text(path)[sample.name]
            drawn = [i.mask(ids.shape) for i in annotation.instances]
            assert len(sample.masks.get("building", [])) == len(drawn)
            assert np.array_equal(
                ids > 0, np.any([*drawn, np.zeros_like(ids, bool)], axis=0)
            )
    assert 0.2 < np.mean(shares["text"]) < 0.4
    assert 0.05 < np.mean(shares["mask"]) < 0.2


def together(annotation, shape):
    """All instances in one mask."""
    mask = np.zeros(shape, bool)
    for instance in annotation.instances:
        mask |= instance.mask(shape)
    return mask


def read_truth(path):
    with rasterio.open(path) as file:
        return file.read(1)


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


@needs_real_data
def test_labelme_and_the_masks_beside_it():
    files = sorted((REAL / "annotations" / "labelme").glob("*.json"))
    assert len(files) == 3
    for path in files:
        truth = read_truth(path.with_suffix(".png")) > 0
        (annotation,) = read_file(path).values()
        assert {one.label for one in annotation.instances} == {"tail"}
        assert iou(together(annotation, truth.shape), truth) >= 0.97


@needs_real_data
def test_coco_and_the_masks_beside_it():
    place = REAL / "annotations" / "coco"
    both = either = outlined = 0
    for name, annotation in read_file(place / "_annotations.coco.json").items():
        truth = read_truth(place / "masks" / f"{name}_mask.png") > 0
        mask = together(annotation, truth.shape)
        both += (mask & truth).sum()
        either += (mask | truth).sum()
        # The truth was drawn with its outline, half a pixel too wide: what
        # it has more than we lies along the border.
        rim = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0
        outlined += (truth & ~rim).sum()
    assert both / either >= 0.97
    assert outlined / either < 0.001


@needs_real_data
def test_wkt_and_its_mask():
    place = REAL / "annotations" / "wkt"
    (annotation,) = read_file(place / "sample.csv").values()
    truth = read_truth(place / "sample_fp_mask.tif") > 0
    assert iou(together(annotation, truth.shape), truth) >= 0.97
    found = read_file(place / "SN2_sample_truth.csv")
    counts = {name: len(one.instances) for name, one in found.items()}
    assert sum(counts.values()) == 171
    assert counts["AOI_5_Khartoum_img463"] == 0


@needs_real_data
def test_geojson_in_utm_and_its_mask():
    place = REAL / "annotations" / "wkt"
    (annotation,) = read_file(place / "geotiff_labels.geojson").values()
    placed = in_pixels(annotation, place / "sample_geotiff.tif")
    truth = read_truth(place / "sample_fp_mask_from_geojson.tif") > 0
    assert len(placed.instances) == 43
    assert iou(together(placed, truth.shape), truth) >= 0.97


@needs_real_data
@pytest.mark.parametrize("bits", [8, 16])
def test_geojson_of_three_classes_and_its_class_ids(bits):
    place = REAL / "annotations" / "geojson"
    (annotation,) = read_file(place / "tiff_3channel_uint8.geojson").values()
    placed = in_pixels(annotation, place / f"tiff_3channel_uint{bits}.tif")
    truth = read_truth(place / "mask_tiff_3channel_uint8.png")
    ids = np.zeros_like(truth)
    for instance in placed.instances:  # later ones win
        ids[instance.mask(ids.shape)] = int(instance.label)
    assert (ids == truth).mean() >= 0.98


@needs_real_data
def test_via_classes_and_counts():
    path = REAL / "annotations" / "via" / "via_region_data.json"
    labels = [o.label for a in read_file(path).values() for o in a.instances]
    assert (labels.count("bina"), labels.count("tree")) == (76, 17)


def mercator(points):
    """Degrees to EPSG:3857, by the formula."""
    x, y = np.radians(points).T
    north = np.log(np.tan(np.pi / 4 + y / 2))
    return 6378137 * np.column_stack([x, north])


@needs_real_data
def test_area_of_1466_buildings_on_the_scene():
    place = REAL / "scene"
    (annotation,) = read_file(place / "banepa.geojson").values()
    placed = in_pixels(annotation, place / "banepa.tif")
    with rasterio.open(place / "banepa.tif") as file:
        shape, bounds, pixel = file.shape, file.bounds, file.res
    assert len(placed.instances) == 1466
    drawn = sum(int(one.mask(shape).sum()) for one in placed.instances)
    ground = [one.geometry for one in annotation.instances]
    seen = shapely.intersection(
        shapely.make_valid(shapely.transform(ground, mercator)),
        shapely.box(*bounds),
    )
    exact = shapely.area(seen).sum() / (pixel[0] * pixel[1])
    assert drawn == pytest.approx(exact, rel=0.005)


@needs_real_data
def test_every_building_of_the_scene_has_a_mask_of_its_own(tmp_path):
    place = REAL / "scene"
    result = run_script(
        "util/polygon_to_mask.py", place / "banepa.tif",
        place / "banepa.geojson", "--out", "tree", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    masks = sorted((tmp_path / "tree" / "banepa" / "masks").iterdir())
    assert len(masks) == 1466
    (annotation,) = read_file(place / "banepa.geojson").values()
    placed = in_pixels(annotation, place / "banepa.tif").instances
    for number in (1, 700, 1466):
        path = masks[0].with_name(f"banepa_mask_{number}.png")
        expected = placed[number - 1].mask((4096, 3072))
        assert np.array_equal(read_mask(path), expected)


@needs_real_data
def test_colours_of_land_cover_become_classes(tmp_path):
    place = REAL / "landcover"
    images = tmp_path / "images"
    images.mkdir()
    for path in place.glob("images/tile2_*.jpg"):
        (images / path.name).symlink_to(path)
    colours = {
        "building": 0x3C1098, "land": 0x8429F6, "road": 0x6EC1E4,
        "vegetation": 0xFEDD3A, "water": 0xE2A929,
    }  # fmt: skip
    table = ",".join(f"{code:06X}={name}" for name, code in colours.items())
    masks = [place / "masks" / f"{p.stem}.png" for p in images.iterdir()]
    result = run_script(
        "util/polygon_to_mask.py", images, *masks,
        "--colours", f"{table},9B9B9B=", "--out", "tree", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    samples = find_samples(tmp_path / "tree")
    assert len(samples) == 9
    assert class_names(samples) == list(colours)
    for sample in samples:
        values, _ = read_values(place / "masks" / f"{sample.name}.png")
        ids = read_class_ids(sample, list(colours), values.shape)
        for number, code in enumerate(colours.values(), start=1):
            assert np.array_equal(ids == number, values == code)
