"""What windows that overlap are worth on a real scene, and what they cost.

The scene is the mosaic that the banepa tiles were cut from; scored are the
places of its 38 test tiles alone. First the scene is predicted in one run by
tiles one by one, by a plain loop over tiles through ``model.predict``, and by
windows with and without overlap; then in other shapes: turned, as PNG, in
another CRS, with alpha, in a frame without data, with 16 bits. At last a mosaic
of its mirror images, of any size, for memory, time and the share of objects.

    python tests/benchmarks/scenes.py ../shared/data --model my.keras
    python tests/benchmarks/scenes.py ../shared/data --side 20000
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from rasterio.warp import Resampling, calculate_default_transform, reproject
from rasterio.windows import Window

from unet.annotations.pairing import pair
from unet.imagery.png import write_png
from unet.imagery.rasters import Scene
from unet.imagery.reading import read_image
from unet.imagery.resizing import resize_image
from unet.network.contract import read_contract
from unet.network.model import any_size, load
from unet.prediction.photos import probabilities_of_images
from unet.prediction.scaling import scales
from unet.prediction.scenes import strips
from unet.prediction.strip import DEFAULTS
from unet.prediction.windows import Tiling
from unet.scoring.counts import confusion, iou
from unet.terminal import cli

CODE = Path(__file__).resolve().parents[2] / "code"
TILE, NEAR = 256, 16


def truth_of(image, polygons, shape):
    """All polygons as one mask."""
    pairs, _ = pair(image, [polygons])
    truth = np.zeros(shape, bool)
    for instance in pairs[0].annotation.instances:
        window, top, left = instance.window(shape)
        height, width = window.shape
        truth[top : top + height, left : left + width] |= window
    return truth


def places_of_tests(source, shape):
    """Where test tiles lie, and which of it is near a tile's border."""
    index = pd.read_csv(source / "buildings" / "index.csv", dtype=str)
    rows = index[(index["area"] == "banepa") & (index["split"] == "test")]
    tests = np.zeros(shape, bool)
    tiles = []
    for name in rows["name"]:
        row, column = map(int, name.split("_")[1:])
        at = np.s_[
            row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE
        ]
        tests[at] = True
        tiles.append(at)
    near = [
        np.minimum(np.arange(n) % TILE, TILE - 1 - np.arange(n) % TILE) < NEAR
        for n in shape
    ]
    return tests, tests & (near[0][:, None] | near[1]), tiles


def score(truth, found, places):
    """Building IoU where ``places`` is set."""
    counts = confusion(truth[places], found[places].astype(np.uint8), 2, 2)
    return iou(counts)[1]


def whole(model, scene, contract, overlap=None):
    """(mask, seconds, of them in the network) of a scene."""
    resolution = scene.place and scene.place.resolution(scene.shape)
    factors = scales(contract, resolution)
    tiling = Tiling(scene.shape, factors, contract.size, overlap)
    network = any_size(model)
    inside, begun = [], time.monotonic()
    parts = strips(
        network,
        scene,
        tiling,
        DEFAULTS,
        watch=lambda _, took: inside.append(took),
    )
    found = np.concatenate([strip.ids for strip in parts])
    return found, time.monotonic() - begun, sum(inside)


def plain_loop(model, image):
    """What a plain loop over tiles makes of a scene."""
    size = model.input_shape[1:3]
    found = np.zeros(image.shape[:2], np.uint8)
    for top in range(0, len(image), TILE):
        for left in range(0, image.shape[1], TILE):
            at = np.s_[top : top + TILE, left : left + TILE]
            seen = resize_image(image[at], size)[None]
            probability = model.predict(seen, verbose=0)[0, ..., 0]
            found[at] = resize_image(probability, (TILE, TILE)) >= 0.5
    return found


def variants(path, place):
    """The scene in other shapes: (what, path, function that undoes it)."""
    with rasterio.open(path) as raster:
        bands, profile = raster.read(), raster.profile
    image = np.moveaxis(bands, 0, 2)
    plain = {
        name: profile[name] for name in ("driver", "dtype", "crs", "transform")
    }

    def write(name, bands, **options):
        count, height, width = bands.shape
        shape = {"count": count, "height": height, "width": width}
        target = place / f"{name}.tif"
        with rasterio.open(target, "w", **plain | shape | options) as raster:
            raster.write(bands)
        return target

    png = place / "photo.png"
    write_png(png, image)
    yield "as PNG", png, lambda found: found
    turned = write("turned", np.rot90(bands, 1, (1, 2)).copy())
    yield "turned by 90 degrees", turned, lambda found: np.rot90(found, -1)
    opaque = np.full_like(bands[:1], 255)
    with_alpha = write(
        "alpha", np.concatenate([bands, opaque]), photometric="rgb",
        alpha="yes",
    )  # fmt: skip
    yield "with alpha", with_alpha, lambda found: found
    edge = 300
    framed = np.pad(np.maximum(bands, 1), ((0, 0), (edge, edge), (edge, edge)))
    frame = write("frame", framed, nodata=0)
    inner = slice(edge, -edge)
    yield "in a frame of nodata", frame, lambda found: found[inner, inner]
    deep = write("deep", bands.astype(np.uint16) * 150 + 999, dtype="uint16")
    yield "with 16 bits", deep, lambda found: found
    crs = "EPSG:32645"
    transform, width, height = calculate_default_transform(
        profile["crs"], crs, bands.shape[2], bands.shape[1],
        *rasterio.transform.array_bounds(
            bands.shape[1], bands.shape[2], profile["transform"]
        ),
    )  # fmt: skip
    moved = np.zeros((3, height, width), np.uint8)
    ways = {
        "src_transform": profile["transform"], "src_crs": profile["crs"],
        "dst_transform": transform, "dst_crs": crs,
    }  # fmt: skip
    reproject(bands, moved, resampling=Resampling.bilinear, **ways)
    utm = write("utm", moved, nodata=0, crs=crs, transform=transform)

    def back(found):
        result = np.zeros(bands.shape[1:], np.uint8)
        reproject(
            found, result, resampling=Resampling.nearest,
            src_transform=transform, src_crs=crs,
            dst_transform=profile["transform"], dst_crs=profile["crs"],
        )  # fmt: skip
        return result

    yield "in UTM", utm, back


def accuracy(source, model, contract, place):
    """Print scores of ways to predict the scene, and of its variants."""
    path = source / "scene" / "banepa.tif"
    image = read_image(path)
    shape = image.shape[:2]
    truth = truth_of(path, path.with_suffix(".geojson"), shape)
    tests, near, tiles = places_of_tests(source, shape)

    def show(what, found, seconds=None, inside=None):
        line = f"{what:<26}{score(truth, found, tests):8.4f}"
        line += f"{score(truth, found, near):10.4f}"
        if seconds:
            line += f"{seconds:10.1f}{image[..., 0].size / seconds / 1e6:10.3f}"
        if inside:
            line += f"{inside / seconds:10.1%}"
        print(line, flush=True)

    heads = ("IoU", "at seams", "seconds", "Mpx/s", "network")
    print(f"{'':<24}" + "".join(f"{head:>10}" for head in heads))
    found = np.zeros(shape, np.uint8)
    crops = [image[at] for at in tiles]
    for at, one in zip(
        tiles, probabilities_of_images(model, crops), strict=True
    ):
        found[at] = one[..., 0] >= 0.5
    show("test tiles one by one", found)
    begun = time.monotonic()
    found = plain_loop(model, image)
    show("plain loop over tiles", found, time.monotonic() - begun)
    for overlap in (0, 0.5, None):
        with Scene(path) as scene:
            what = "as by default" if overlap is None else f"overlap {overlap}"
            show(what, *whole(model, scene, contract, overlap))
    for what, other, undo in variants(path, place):
        with Scene(other) as scene:
            show(what, undo(whole(model, scene, contract)[0]))


def mosaic(source, path, side):
    """Write a scene of mirror images of the scene."""
    with rasterio.open(source / "scene" / "banepa.tif") as raster:
        bands, profile = raster.read(), raster.profile
    rows, columns = (
        np.pad(np.arange(n), (0, max(0, side - n)), mode="symmetric")[:side]
        for n in bands.shape[1:]
    )
    profile |= {"width": side, "height": side, "compress": "jpeg"}
    with rasterio.open(path, "w", **profile) as raster:
        for top in range(0, side, TILE):
            part = bands[:, rows[top : top + TILE]][..., columns]
            window = Window(0, top, side, part.shape[1])
            raster.write(part, window=window)


def measured(words):
    """Run a command, and say what it took: (what it printed, resources)."""
    process = subprocess.Popen(
        list(map(str, words)), stdout=subprocess.PIPE, text=True
    )
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{words}: wait status {status}")
    return printed, used


def cost(source, model, place, sides):
    """Print memory and time of test.py on mosaics, and the share of objects."""
    for side in sides:
        path, cpu = place / f"mosaic_{side}.tif", {}
        mosaic(source, path, side)
        for way, options in {"apart": [], "off": ["--separate", "off"]}.items():
            begun = time.monotonic()
            printed, used = measured(
                [sys.executable, CODE / "test" / "test.py", path, "--model",
                 model, "--out", place / f"out_{side}_{way}", *options]
            )  # fmt: skip
            told = re.search(r".* of scenes.*", printed)
            cpu[way] = used.ru_utime + used.ru_stime
            print(
                f"{side} x {side}, objects {way}: "
                f"{time.monotonic() - begun:.0f} s ({cpu[way]:.0f} s of CPU), "
                f"at most {used.ru_maxrss / 2**20:.3f} GiB;{told and told[0]}",
                flush=True,
            )
        share = 1 - cpu["off"] / cpu["apart"]
        print(f"{side} x {side}: objects take {share:.1%} of the CPU time")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="../shared/data")
    parser.add_argument("--model", type=Path, default=cli.SHIPPED)
    parser.add_argument(
        "--side", type=int, nargs="*", help="mosaics of these sizes instead"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if args.side:
            cost(args.source, args.model, Path(place), args.side)
        else:
            contract = read_contract(args.model)
            accuracy(args.source, load(args.model), contract, Path(place))


if __name__ == "__main__":
    main()
