"""Undamaged files of every kind, and the functions that read them."""

import io
import json
import os
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import rasterio
import shapely
from PIL import Image
from rasterio.transform import from_origin

from conftest import CODE, make_tree, small_network
from test_contract import FULL, network, written
from test_formats import (
    CVAT,
    DOCUMENTS,
    RULES,
    SQUARE,
    TABLE,
    TRIANGLE,
    VOC,
    closed,
    collection,
    feature,
    on_ground,
)
from unet.annotations.colours import parse_colours
from unet.annotations.formats import WRITERS
from unet.annotations.placing import from_shares, in_pixels
from unet.annotations.reading import read_file
from unet.annotations.writing import AnnotatedImage
from unet.files.folders import Sample, class_order, find_samples
from unet.files.splits import group_names
from unet.geometry.instances import Instance
from unet.imagery.georeference import (
    Georeference,
    read_georeference,
    write_georeference,
)
from unet.imagery.mask_values import read_mask
from unet.imagery.png import write_mask, write_png
from unet.imagery.rasters import ROWS, Scene
from unet.imagery.reading import image_from, read_image
from unet.imagery.stored import stored_as
from unet.network.contract import Contract, read_contract
from unet.prediction.stream import find_sources
from unet.prediction.strip import Settings
from unet.prediction.truth import open_truth
from unet.terminal import training_options
from unet.terminal.run_settings import read_settings
from unet.training import dataset

sys.path += [str(CODE / "util"), str(CODE / "test")]
import model_card
import split

PLACE = {"crs": "EPSG:32645", "transform": from_origin(500000, 3e6, 2, 2)}
GDAL_DRIVERS = {".tif": "GTiff", ".jp2": "JP2OpenJPEG", ".img": "HFA"}


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        file: its name.
        content: bytes of an undamaged one.
        readers: functions of the path, each of which may raise ``DataError``.
        beside: the name of a file that messages may name instead, or None.
    """

    file: str
    content: bytes
    readers: tuple[Callable, ...]
    beside: str | None = None


def kinds(place, keras):
    """Every kind of file that the scripts read.

    Args:
        place: an empty directory for files that lie beside them.
        keras: whether Keras, which takes seconds to import, loads models.

    Returns:
        dict from a name to its ``Kind``; the files lie in ``place/NAME``.
    """
    made = place / "made"
    made.mkdir(parents=True)
    rasters(made / "tile.tif", "uint8")
    found = {
        **pictures(made),
        "aux.xml": sidecar(place / "aux.xml"),
        **masks(made),
        **documents(made),
        **classes_of_yolo(place),
        **tables(made),
        **settings(made),
        **models(made, keras),
    }
    for name in found:
        (place / name).mkdir(exist_ok=True)
    return found


# Images --------------------------------------------------------------------


def photo(side=40):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (side // 5, side // 5, 3), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def rasters(path, dtype, driver="GTiff", **more):
    """A georeferenced raster of three bands."""
    bands = np.moveaxis(photo(), 2, 0).astype(dtype) * 3
    with rasterio.open(
        path, "w", driver=driver, width=40, height=40, count=3, dtype=dtype,
        **PLACE, **more,
    ) as file:  # fmt: skip
        file.write(bands)
    return path.read_bytes()


def pictures(place):
    """Images of all endings and depths."""
    image = Image.fromarray(photo())
    made = {}
    for ending in ("png", "jpg", "bmp", "webp", "avif", "gif", "ppm", "tif"):
        made[f"image.{ending}"] = packed(image, ending)
    made["grey.pgm"] = packed(image.convert("L"), "pgm")
    made["bits.pbm"] = packed(image.convert("1"), "pbm")
    made["palette.png"] = packed(image.quantize(9), "png")
    made["cmyk.jpg"] = packed(image.convert("CMYK"), "jpg")
    exif = Image.Exif()
    exif[274] = 6
    made["turned.jpg"] = packed(image, "jpg", exif=exif)
    made["progressive.jpg"] = packed(image, "jpg", progressive=True)
    for ending, depth in (("png", np.uint16), ("hdr", np.float32)):
        deep = cv2.imencode(f".{ending}", photo().astype(depth) * 200)[1]
        made[f"deep.{ending}"] = deep.tobytes()
    for dtype in ("uint8", "uint16", "float32"):
        tiled = {"tiled": True, "blockxsize": 16, "blockysize": 16}
        made[f"{dtype}.tif"] = rasters(
            place / "made.tif", dtype, compress="deflate", nodata=0, **tiled
        )
    for ending in ("jp2", "img"):
        driver = GDAL_DRIVERS[f".{ending}"]
        path = place / f"made.{ending}"
        made[f"image.{ending}"] = rasters(path, "uint8", driver)
    readers = (stored_as, read_georeference, read_image, read_to_predict)
    found = {
        name: Kind(f"a{Path(name).suffix}", content, readers)
        for name, content in made.items()
    }
    ground = collection(feature([on_ground(SQUARE)]), crs=PLACE["crs"])
    (place / "ground.geojson").write_text(json.dumps(ground))
    readers += (
        partial(read_under_polygons, place / "ground.geojson"),
        partial(read_truth, place / "tile.tif"),
    )
    for name in ("uint8.tif", "float32.tif", "image.jp2", "image.img"):
        kind = replace(found[name], readers=readers, beside="ground.geojson")
        found[name] = kind
    return found


def packed(image, ending, **options):
    buffer = io.BytesIO()
    name = {"jpg": "JPEG", "tif": "TIFF"}.get(ending)
    if ending in ("pbm", "pgm", "ppm"):
        name = "PPM"
    image.save(buffer, name or ending.upper(), **options)
    return buffer.getvalue()


def sidecar(place):
    """Where an image lies on the ground, as GDAL writes it."""
    write_png(place / "a.png", photo())
    crs = rasterio.CRS.from_user_input(PLACE["crs"])
    write_georeference(place / "a.png", Georeference(crs, PLACE["transform"]))

    def read(path):
        read_georeference(path.with_name("a.png"))

    content = (place / "a.png.aux.xml").read_bytes()
    return Kind("a.png.aux.xml", content, (read,), "a.png")


def read_to_predict(path):
    """As test.py does: a scene by rows, a photo whole."""
    contract = Contract(["roof"], [32, 32], resolution=[1, 1])
    sample = Sample("a", path, None)
    (source,) = find_sources([sample], contract, Settings())
    if source.is_photo:
        read_image(path)
        return
    with Scene(path) as scene:
        for top in range(0, scene.shape[0], ROWS):
            scene.read(top, min(top + ROWS, scene.shape[0]))


def read_under_polygons(polygons, path):
    """As polygon_to_mask.py does: where the polygons lie in the image."""
    (annotation,) = read_file(polygons).values()
    in_pixels(annotation, path)


def read_truth(scene, path):
    """As test.py --truth does."""
    truth = open_truth(path, scene, ["roof"])
    try:
        truth.rows(0, 40)
    finally:
        truth.close()


# Masks ---------------------------------------------------------------------


def masks(place):
    """Masks of two values, and complete ones."""
    ids = np.zeros((40, 40), np.uint8)
    ids[3:20, 5:30], ids[22:30, 8:20] = 1, 2
    window = ids[3:20, 5:30] > 0
    write_mask(place / "mask.png", window, 3, 5, ids.shape)
    numbered = Image.fromarray(ids, mode="P")
    numbered.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    grey = Image.fromarray(ids // 2 * 255)
    made = {
        "mask.png": (place / "mask.png").read_bytes(),
        "palette_mask.png": packed(numbered, "png"),
        "mask.gif": packed(numbered, "gif"),
        "mask.tif": packed(grey, "tif"),
        "mask.bmp": packed(grey, "bmp"),
        "mask.jpg": packed(grey, "jpg"),
    }
    truth = partial(read_truth, place / "tile.tif")
    readers = (read_mask, truth, *readers_of_annotations(place))
    return {
        name: Kind(f"a{Path(name).suffix}", content, readers)
        for name, content in made.items()
    }


# Annotations ---------------------------------------------------------------


def read_annotations(tile, rules, path):
    """As polygon_to_mask.py does, to the last pixel."""
    for annotation in read_file(path, rules=rules).values():
        if annotation.crs is not None:
            annotation = in_pixels(annotation, tile)
        annotation = from_shares(annotation, (32, 32))
        for instance in annotation.instances:
            instance.mask((32, 32))
        if annotation.picture:
            image_from(annotation.picture(), path)


def readers_of_annotations(place):
    tile = place / "tile.tif"
    return [partial(read_annotations, tile, rules) for rules in RULES]


def documents(place):
    """Annotation files: as tools write them, and as we do."""
    made = {f"{k}.json": json.dumps(v) for k, v in DOCUMENTS.items()}
    ground = collection(feature([on_ground(SQUARE)], label="roof"),
                        crs=PLACE["crs"])  # fmt: skip
    made["geojson.json"] = json.dumps(ground)
    whole = DOCUMENTS["coco"]["annotations"][:-1]  # its last one is damaged
    made["coco.json"] = json.dumps({**DOCUMENTS["coco"], "annotations": whole})
    made["cvat.xml"] = CVAT
    made["voc.xml"] = VOC
    made["article.txt"] = f"a.png\t{closed(SQUARE)}\nb.png\t[]\n"
    found = {name: text.encode() for name, text in made.items()}
    found |= written_by_us(place / "written", place / "tile.tif")
    readers = tuple(readers_of_annotations(place))
    return {
        name: Kind(f"a{Path(name).suffix}", content, readers)
        for name, content in found.items()
    }


def classes_of_yolo(place):
    """Files that name the classes of a label file beside them."""
    listed = b"road\nroof\n"
    found = {}
    for name, content in (
        ("data.yaml", b"names: [road, roof]\n"),
        ("classes.txt", listed),
    ):
        label = place / f"yolo {name}" / "a.txt"
        label.parent.mkdir()
        label.write_text("1 0.1 0.1 0.9 0.1 0.9 0.9\n")

        def read(path):
            read_file(path.with_name("a.txt"))

        found[label.parent.name] = Kind(name, content, (read,), "a.txt")
    # Beside our own labels.
    (place / "our_yolo.txt").mkdir()
    (place / "our_yolo.txt" / "classes.txt").write_bytes(listed)
    return found


def written_by_us(place, image):
    """Contents of a file by each writer."""
    rings = [SQUARE, TRIANGLE, [[20, 20], [35, 20], [30, 38]]]
    instances = [Instance(shapely.Polygon(ring), "roof") for ring in rings]
    found = {}
    for name, make in WRITERS.items():
        writer = make(place / name, ["roof"])
        writer.add(AnnotatedImage("tile", image, (40, 40), instances))
        writer.close()
        file, *_ = writer.files(["tile"])
        found[f"our_{name}{file.suffix}"] = file.read_bytes()
    return found


# Tables --------------------------------------------------------------------


def tables(place):
    """Tables of polygons, of colours, of groups, of sides; classes.txt."""
    points = pd.DataFrame(
        [("b.png", *point) for point in closed(SQUARE)],
        columns=["image", "x", "y"],
    )
    polygons = pd.DataFrame(TABLE)
    polygons.to_excel(place / "a.xlsx", index=False)
    wkt = 'ImageId,PolygonWKT\nb,"POLYGON ((1 1, 5 1, 5 5, 1 1))"\n'
    annotations = tuple(readers_of_annotations(place))
    sides = "name,split,group\na,train,x\nb,test,y\nc,train,x\n"

    def colours(path):
        parse_colours(str(path))

    def side(path):
        split.sides_from(path, ["a", "b", "c"], None)

    def group(path):
        group_names(["a", "b", "c"], path)

    def order(path):
        class_order(path.parent)

    labels = "# label:color_rgb:parts:actions\nroof:60,16,152::\n"
    return {
        "rings.csv": Kind("a.csv", csv(polygons), annotations),
        "points.tsv": Kind("a.tsv", csv(points, sep="\t"), annotations),
        "wkt.csv": Kind("a.csv", wkt.encode(), annotations),
        "rings.xlsx": Kind("a.xlsx", (place / "a.xlsx").read_bytes(),
                           annotations),
        "colours.csv": Kind("a.csv", b"class,r,g,b\nroof,60,16,152\nroad,1,2,3",
                            (colours,)),
        "labelmap.txt": Kind("labelmap.txt", labels.encode(), (colours,)),
        "split.csv": Kind("split.csv", sides.encode(), (side, group)),
        "classes.txt": Kind("classes.txt", b"road\nroof\n\ntree\n", (order,)),
    }  # fmt: skip


def csv(table, **how):
    return table.to_csv(index=False, **how).encode()


# What a training keeps -----------------------------------------------------


def settings(place):
    """settings.json of a run, and meta.json of the cache."""

    def options_of_a_run():
        parser = ArgumentParser()
        training_options.add(parser)
        options = training_options.read(parser, [])
        options.model, options.overwrite = Path("my.keras"), False
        return options

    values = {**vars(options_of_a_run()), "model": "b.keras", "epochs": 7}
    text = json.dumps(values)

    def resume(path):
        read_settings(path, options_of_a_run())

    return {
        "settings.json": Kind("settings.json", text.encode(), (resume,)),
        "meta.json": cached(place / "cached"),
    }


def cached(place):
    """The cache's own file: it is used if it is right, or made anew."""
    samples = find_samples(make_tree(place / "tree", 2))
    whole, tried = place / "whole", place / "cache"

    def load(cache):
        before = os.environ.get("UNET_CACHE")
        os.environ["UNET_CACHE"] = str(cache)
        try:
            return dataset.load(
                samples, (16, 16), ["building"], lambda items, *_: items
            )
        finally:
            del os.environ["UNET_CACHE"]
            if before is not None:
                os.environ["UNET_CACHE"] = before

    right = load(whole)
    (key,) = (path.name for path in whole.iterdir())

    def read(path):
        shutil.rmtree(tried, ignore_errors=True)
        shutil.copytree(whole, tried)  # with their times
        shutil.copy(path, tried / key / "meta.json")
        found = load(tried)
        assert np.array_equal(found.X, right.X)
        assert np.array_equal(found.Y, right.Y)
        assert found.names == right.names

    content = (whole / key / "meta.json").read_bytes()
    return Kind("meta.json", content, (read,))


# Models --------------------------------------------------------------------


def models(place, keras):
    """Model files with their contracts; Keras sees those that we accept."""
    values = {"format": 1, **FULL.as_dict()}
    two = network(channels=3)
    bare = written(place / "bare.keras", values, config=two).read_bytes()
    found = {"contract.keras": Kind("m.keras", bare, (card_of,))}
    if keras:
        found["model.keras"] = Kind(
            "m.keras", whole_model(place / "whole.keras"), (card_of, load)
        )
    return found


def card_of(path):
    return model_card.card(read_contract(path), path.name)


def whole_model(path):
    """A tiny network, trained by nobody, with all that a contract may say."""
    from unet.network.model import save

    contract = Contract(
        ["building"], [32, 32], scale=0.5, resolution=[0.2, 0.3],
        separation={"building": 1.5}, data={"images": 3, "digest": "abc"},
    )  # fmt: skip
    save(small_network(), path, contract)
    return path.read_bytes()


def load(path):
    from unet.network.model import load

    model = load(path)
    model(np.zeros((1, *model.input_shape[1:]), np.float32), training=False)
