"""Annotations read and written, against the truth beside them.

Printed are what the examples of real tools become, how long one whole scene
takes, and how well masks survive being written in each format and read again.

    python tests/benchmarks/annotations.py ../shared/data
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import shapely

from unet.annotations.article import read_article_text
from unet.annotations.formats import WRITERS
from unet.annotations.placing import from_shares, in_pixels
from unet.annotations.reading import annotation_files, read_file
from unet.annotations.writing import AnnotatedImage
from unet.files.folders import find_samples, natural
from unet.geometry.masks import instances
from unet.geometry.polygons import outlines
from unet.imagery.mask_values import read_mask

CODE = Path(__file__).resolve().parents[2] / "code"
LARGE = 100  # pixels from which on an instance counts by itself


def folders(images, annotations, out, *options):
    """polygon_to_mask.py: its samples and how long it took."""
    start = time.monotonic()
    command = [sys.executable, CODE / "util" / "polygon_to_mask.py", images,
               *annotations, "--out", out, "--quiet", *options]  # fmt: skip
    subprocess.run(
        [str(part) for part in command], check=True, capture_output=True
    )
    return find_samples(out), time.monotonic() - start


def merged(sample):
    """All masks of a sample in one."""
    masks = [read_mask(p) for paths in sample.masks.values() for p in paths]
    return np.any(masks, axis=0)


def first_band(path):
    with rasterio.open(path) as file:
        return file.read(1)


def iou(pairs):
    """Pooled IoU of pairs of masks."""
    both = sum(np.sum(a & b) for a, b in pairs)
    return both / sum(np.sum(a | b) for a, b in pairs)


def examples(source, out):
    """Rows of (example, measure, value)."""
    place = source / "labelme"
    samples, _ = folders(place, [place], out / "labelme")
    for one in samples:
        truth = first_band(place / f"{one.name}.png") > 0
        yield f"labelme, {one.name}", "IoU", iou([(merged(one), truth)])

    place = source / "coco"
    samples, _ = folders(place, [place], out / "coco")
    pairs = [
        (merged(s), first_band(place / "masks" / f"{s.name}_mask.png") > 0)
        for s in samples
    ]
    yield "COCO, 5 images pooled", "IoU", iou(pairs)

    place, image = source / "wkt", source / "wkt" / "sample_geotiff.tif"
    for name, file, truth in (
        ("WKT in a table", "sample.csv", "sample_fp_mask.tif"),
        ("GeoJSON in UTM", "geotiff_labels.geojson",
         "sample_fp_mask_from_geojson.tif"),
    ):  # fmt: skip
        (one,), _ = folders(image, [place / file], out / file)
        truth = first_band(place / truth) > 0
        yield name, "IoU", iou([(merged(one), truth)])

    place = source / "geojson"
    (one,), _ = folders(place / "tiff_3channel_uint8.tif",
                        [place / "tiff_3channel_uint8.geojson"],
                        out / "geojson")  # fmt: skip
    truth = first_band(place / "mask_tiff_3channel_uint8.png")
    ids = np.zeros_like(truth)
    for label, paths in one.masks.items():
        for path in paths:
            ids[read_mask(path)] = int(label)
    yield "GeoJSON of 3 classes", "equal pixels", np.mean(ids == truth)


def scene(source, out):
    """One scene of 1,466 buildings: seconds, and the error of the area."""
    image, polygons = source / "banepa.tif", source / "banepa.geojson"
    (one,), seconds = folders(image, [polygons], out / "scene")
    drawn = sum(read_mask(p).sum() for ps in one.masks.values() for p in ps)
    (annotation,) = read_file(polygons).values()
    with rasterio.open(image) as file:
        frame = shapely.box(0, 0, file.width, file.height)
    placed = in_pixels(annotation, image)
    areas = [
        shapely.make_valid(one.geometry).intersection(frame).area
        for one in placed.instances
    ]
    yield "scene, 12 megapixels", "buildings", len(areas)
    yield "scene, 12 megapixels", "seconds", seconds
    yield "scene, 12 megapixels", "error of the area", drawn / sum(areas) - 1


def truths(source):
    """Every mask of the tiles by name, from texts and complete masks."""
    for path in sorted((source / "masks").iterdir(), key=natural):
        yield path.stem, read_mask(path)
    for path in sorted((source / "annotations").iterdir(), key=natural):
        mask = np.zeros((256, 256), bool)
        for one in read_article_text(path)[path.stem].instances:
            mask |= one.mask(mask.shape)
        yield path.stem, mask


def round_trip(kind, masks, drawn, source, out):
    """Write polygons in a format, read them again, and compare.

    Args:
        kind: the format.
        masks, drawn: dicts from name to mask and to its ``outlines``.
        source: directory of the images' directory.
        out: directory to write to.

    Returns:
        dict of the number of instances, the pooled IoU, and the least IoU of
        an instance of 100 pixels or more.
    """
    writer = WRITERS[kind](out / kind, ["building"])
    for name, found in drawn.items():
        image = source / "images" / f"{name}.png"
        writer.add(AnnotatedImage(name, image, masks[name].shape, found))
    writer.close()
    read = {}
    for path in annotation_files(out / kind):
        read.update(read_file(path))
    pairs, least, count = [], 1.0, 0
    for name, mask in masks.items():
        annotation = from_shares(read[name], mask.shape)
        again = [one.mask(mask.shape) for one in annotation.instances]
        pairs.append((mask, np.any([np.zeros_like(mask), *again], axis=0)))
        labels, number = instances(mask)
        count += number
        for k in range(1, number + 1):
            part = labels == k
            if part.sum() >= LARGE:
                least = min(least, max(iou([(part, one)]) for one in again))
    return {"instances": count, "pooled IoU": iou(pairs), "least IoU": least}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the directory of the data")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        rows = [
            *examples(args.source / "annotations", out),
            *scene(args.source / "scene", out),
        ]
        for what, measure, value in rows:
            print(f"{what:<28}{measure:<20}{value:.5g}")
        tiles = args.source / "buildings"
        masks = dict(truths(tiles))
        drawn = {
            name: outlines(mask, label="building")
            for name, mask in masks.items()
        }
        table = {
            kind: round_trip(kind, masks, drawn, tiles, out / "written")
            for kind in WRITERS
        }
    print(f"\n{len(masks)} masks written and read again")
    print(pd.DataFrame(table).T.round(4).to_string())


if __name__ == "__main__":
    main()
