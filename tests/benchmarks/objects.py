"""Buildings that touch: how many come out as objects of their own.

The model that comes with the project predicts the test tiles that have
polygons, and nothing is trained. Its masks become objects in several ways,
which are compared with the polygons: each one is an object, pairs are made
greedily from an IoU of 0.5 on, and what is smaller than 30 pixels on either
side is left out. Heights are in pixels of the tiles (256 x 256), twice those
of the network's input.

    python tests/benchmarks/objects.py ../shared/data/buildings
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import shapely
from scipy import ndimage
from shapely.geometry import shape
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from unet.files.folders import find_samples
from unet.geometry.masks import instances
from unet.geometry.polygons import outlines
from unet.geometry.separation import separate
from unet.network.contract import read_contract
from unet.network.model import load
from unet.prediction.stream import predict_labelled
from unet.prediction.truth import open_truth
from unet.scoring.objects import match
from unet.terminal import cli

CODE = Path(__file__).resolve().parents[2] / "code"
CLASSES = ["building"]
SMALLEST, TILE = 30, 256  # pixels
HEIGHTS = (2, 3, 4, 5, 6)
PLACES = ("all", "Banepa", "elsewhere")


def prepare(source, tiles, out):
    """Tiles and their polygons as folders with a mask for each building."""
    images = out.with_name("images")
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True)
    for name in tiles:
        (images / f"{name}.png").symlink_to(
            (source / "images" / f"{name}.png").resolve()
        )
    command = [sys.executable, CODE / "util" / "polygon_to_mask.py", images,
               source / "annotations", "--out", out]  # fmt: skip
    subprocess.run([str(word) for word in command], check=True)


def large(labels):
    """Labels without the objects that are too small."""
    sizes = np.bincount(labels.ravel())
    return np.where(sizes[labels] < SMALLEST, 0, labels)


def ways(truth, strip, chosen):
    """Labels of one tile's objects by the way they were made, a dict."""
    mask, p = strip.ids == 1, strip.probability[..., 0]
    made = {"components of the mask": instances(mask)[0]}
    seeds, _ = instances(p > 0.95)
    labels = watershed(-p, seeds, mask=mask)
    made["watershed from p > 0.95"] = labels
    distance = ndimage.distance_transform_edt(mask)
    distance = ndimage.gaussian_filter(distance, 1)
    seeds, _ = instances(h_maxima(distance, 2.0) > 0)
    made["watershed on the distance, 2"] = watershed(
        -distance, seeds, mask=mask
    )
    for height in HEIGHTS:
        made[f"separated at {height}"] = separate(mask, p, height, weak=False)
    own = separate(mask, p, chosen, weak=False)
    made[f"separated at the model's own {chosen:g}"] = own
    made["the same, weak regions too"] = separate(mask, p, chosen)
    made["components of the true mask"] = instances(truth.ids == 1)[0]
    return made


def is_right(polygon, size):
    """Whether all corners but those at the tile's border are right."""
    for ring in (polygon.exterior, *polygon.interiors):
        points = shapely.get_coordinates(ring)[:-1]
        sides = np.roll(points, -1, axis=0) - points
        sides /= np.hypot(*sides.T)[:, None]
        turns = np.abs((sides * np.roll(sides, 1, axis=0)).sum(axis=1))
        low, high = points.min(axis=1), (points - size[::-1]).max(axis=1)
        if (turns[(low > 0) & (high < 0)] > 0.05).any():
            return False
    return True


class Squares:
    """What right angles do to outlines, pooled over tiles."""

    def __init__(self):
        self.pixels = {False: np.zeros(2), True: np.zeros(2)}
        self.matched = self.right = 0

    def add(self, truth, strip, height):
        mask, size = truth.ids == 1, truth.ids.shape
        p = strip.probability[..., 0]
        for square, pixels in self.pixels.items():
            drawn = np.zeros(size, np.int32)
            made = outlines(
                strip.ids == 1, probability=p, height=height, square=square
            )
            for k, roof in enumerate(made, start=1):
                drawn[roof.mask(size)] = k
            both, either = mask & (drawn > 0), mask | (drawn > 0)
            pixels += both.sum(), either.sum()
        for k, roof in enumerate(made, start=1):
            own = drawn == k
            pair = np.where(own, truth.instances, 0), own.astype(int)
            true = np.isin(truth.instances, np.unique(pair[0])[1:])
            if match(truth.instances * true, pair[1])[0]:
                self.matched += 1
                self.right += is_right(roof.geometry, size)

    def __str__(self):
        before, after = (both / all for both, all in self.pixels.values())
        return (
            f"--square: {self.right} of {self.matched} buildings that match a "
            f"true one have right angles; IoU of the outlines {after:.4f}, "
            f"without {before:.4f}"
        )


def instances_of(path, scene):
    """The polygons of a file, which must be valid, as labels of pixels."""
    features = json.loads(path.read_text())["features"]
    if not all(shape(each["geometry"]).is_valid for each in features):
        raise SystemExit(f"{path}: there are polygons that are not valid")
    with rasterio.open(scene) as raster:
        height = raster.height
    truth = open_truth(path, scene, CLASSES)
    _, labels = truth.rows(0, height)
    truth.close()
    return labels


def scene_score(source, index, out, model):
    """Print the object F1 of the Banepa scene's polygons, as test.py makes.

    On the ground of the test tiles alone: what lies beyond is cut off, on both
    sides.
    """
    scene = source.with_name("scene") / "banepa.tif"
    command = [sys.executable, CODE / "test" / "test.py", scene, "--out", out,
               "--model", model, "--layer", "geojson",
               "--overwrite"]  # fmt: skip
    subprocess.run([str(word) for word in command], check=True)
    predicted = instances_of(out / "banepa.geojson", scene)
    true = instances_of(scene.with_suffix(".geojson"), scene)
    ground = np.zeros(true.shape, bool)
    for name in index.index[index["split"] == "test"]:
        if place := re.fullmatch(r"banepa_(\d+)_(\d+)", name):
            row, column = (TILE * int(number) for number in place.groups())
            ground[row : row + TILE, column : column + TILE] = True
    three = match(large(true * ground), large(predicted * ground))
    print(
        f"scene: {three[0]} of {three[1]} polygons match one of {three[2]} "
        f"buildings, object F1 {2 * three[0] / (three[1] + three[2]):.3f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the buildings directory")
    parser.add_argument("--out", type=Path, default=Path("runs/objects"))
    parser.add_argument("--model", type=Path, default=cli.SHIPPED)
    parser.add_argument("--split", choices=("test", "train"), default="test")
    args = parser.parse_args()
    index = pd.read_csv(args.source / "index.csv", dtype=str)
    index = index[index["annotation"] == "text"].set_index("name")
    tiles = index.index[index["split"] == args.split]
    tree = args.out / args.split / "folders"
    if not tree.exists():
        prepare(args.source, tiles, tree)
    contract, model = read_contract(args.model), load(args.model)
    counts, seconds, squares = {}, 0, Squares()
    samples = find_samples(tree)
    for name, truth, strip in predict_labelled(model, samples, CLASSES):
        scale = np.sqrt(np.prod(contract.size) / strip.ids.size)
        chosen = contract.separation[CLASSES[0]] / scale
        begun = time.perf_counter()
        separate(strip.ids == 1, strip.probability[..., 0], chosen)
        seconds += time.perf_counter() - begun
        squares.add(truth, strip, chosen)
        banepa = index["area"][name].startswith("banepa")
        true = large(truth.instances)
        for way, labels in ways(truth, strip, chosen).items():
            three = np.array(match(true, large(labels)))
            for place in ("all", "Banepa" if banepa else "elsewhere"):
                before = counts.get((way, place), 0)
                counts[way, place] = before + three
    table = pd.Series(
        {key: 2 * c[0] / (c[1] + c[2]) for key, c in counts.items()}
    ).unstack()
    order = list(dict.fromkeys(way for way, _ in counts))
    print(table.loc[order, list(PLACES)].round(3).to_string())
    true = {place: int(counts[order[0], place][2]) for place in PLACES}
    print(f"true objects: {true}")
    print(squares)
    if args.split == "test":
        scene_score(args.source, index, args.out / "scene", args.model)
    print(f"{1000 * seconds / len(tiles):.0f} ms a tile to separate")


if __name__ == "__main__":
    main()
