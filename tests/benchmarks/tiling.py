"""What it takes to cut scenes into tiles, and what the tiles teach.

Without options: time and memory of tile.py and split.py on a real scene with
1,466 polygons. With --side: on mosaics of its mirror images, polygons and all.
With --train: trainings on the prepared banepa tiles and on the tiles of
tile.py, without the 38 test tiles; each is scored on these.
Other options are those of compare.py.

    python tests/benchmarks/tiling.py ../shared/data
    python tests/benchmarks/tiling.py ../shared/data --side 20000
    python tests/benchmarks/tiling.py ../shared/data --train --seeds 3
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scenes import mosaic

from unet.annotations.pairing import pair
from unet.files.blocks import block_names, named_footprints
from unet.files.folders import find_samples
from unet.files.tile_names import TileName
from unet.imagery.georeference import read_georeference
from unet.imagery.mask_values import read_class_ids
from unet.scoring.counts import confusion, iou

CODE = Path(__file__).resolve().parents[2] / "code"
TILE = 256
CLASSES = ["building"]


# What a process of ours takes would count as the script's, if it were started
# from here: Linux counts the pages that both share until it begins.
MEASURED = """
import resource, subprocess, sys, time
begun = time.monotonic()
status = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
seconds, cpu = time.monotonic() - begun, used.ru_utime + used.ru_stime
memory = used.ru_maxrss / 2**20
print(f"{seconds:.1f} s ({cpu:.1f} s of CPU), at most {memory:.2f} GiB")
sys.exit(status)
"""


def script(name, *arguments):
    """Run one of the project's scripts, and print what it takes."""
    print("$ python", f"code/{name}", *arguments, flush=True)
    words = [sys.executable, "-c", MEASURED, sys.executable, CODE / name]
    subprocess.run(list(map(str, [*words, *arguments])), check=True)


def measure(scene, polygons, place):
    """Print time and memory of tile.py and of split.py."""
    tiles = place / f"tiles_{scene.stem}"
    data = place / f"data_{scene.stem}"
    script("util/tile.py", scene, polygons, "--out", tiles)
    script("util/split.py", tiles, "--link", "--out", data)


def mirrored(source, path, side):
    """Write the polygons of a mosaic of mirror images: see ``mosaic``."""
    scene = source / "scene" / "banepa.tif"
    pairs, _ = pair(scene, [scene.with_suffix(".geojson")])
    outlines = [
        np.array(part.exterior.coords)
        for instance in pairs[0].annotation.instances
        for part in getattr(instance.geometry, "geoms", [instance.geometry])
    ]
    place = read_georeference(scene)
    size = np.array([3072, 4096])  # width, height of the scene
    features = []
    for copy in np.ndindex(*-(-side // size)):
        begin, turned = size * copy, np.array(copy) % 2 == 1
        if (begin >= side).any():
            continue
        for outline in outlines:
            points = begin + np.where(turned, size - outline, outline)
            if (points < side).all():
                ring = [place.transform * tuple(point) for point in points]
                shape = {"type": "Polygon", "coordinates": [ring]}
                features.append({"type": "Feature", "geometry": shape})
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    collection = {"type": "FeatureCollection", "crs": crs}
    path.write_text(json.dumps(collection | {"features": features}))
    print(f"{side} x {side} pixels, {len(features)} polygons", flush=True)


def prepared(source, out):
    """The banepa tiles as they were prepared: a tree of folders."""
    index = pd.read_csv(source / "buildings" / "index.csv", dtype=str)
    names = index["name"][index["area"] == "banepa"]
    for kind, ending in (("images", ".png"), ("annotations", ".txt")):
        (out / kind).mkdir(parents=True)
        for name in names:
            file = (source / "buildings" / kind / f"{name}{ending}").resolve()
            (out / kind / file.name).symlink_to(file)
    script("util/polygon_to_mask.py", out / "images", out / "annotations",
           "--out", out / "folders")  # fmt: skip
    script("util/split.py", out / "folders", "--from",
           source / "buildings" / "index.csv", "--group",
           table_of_blocks(out, names), "--out", out / "data")  # fmt: skip


def table_of_blocks(out, names):
    """A CSV with the same blocks of ground as those of our tiles."""
    places = [map(int, name.split("_")[1:]) for name in names]
    tiles = [str(TileName("banepa", row * TILE, column * TILE, TILE))
             for row, column in places]  # fmt: skip
    groups = block_names(named_footprints(tiles), 4 * TILE)
    path = out / "groups.csv"
    pd.DataFrame({"name": names, "group": groups}).to_csv(path, index=False)
    return path


def cut(source, out):
    """Tiles of tile.py: those without ground of a test tile train."""
    index = pd.read_csv(source / "buildings" / "index.csv", dtype=str)
    rows = index[(index["area"] == "banepa") & (index["split"] == "test")]
    places = [map(int, name.split("_")[1:]) for name in rows["name"]]
    tests = [str(TileName("banepa", row * TILE, column * TILE, TILE))
             for row, column in places]  # fmt: skip
    scene = source / "scene" / "banepa.tif"
    polygons = scene.with_suffix(".geojson")
    script("util/tile.py", scene, polygons, "--out", out / "folders")
    names = [sample.name for sample in find_samples(out / "folders")]
    footprints = named_footprints(names)
    sides = ["test" if name in tests else "train" for name in names]
    table = pd.DataFrame({"name": names, "split": sides})
    table["group"] = block_names(footprints, 4 * TILE)
    table.to_csv(out / "sides.csv", index=False)
    script("util/split.py", out / "folders", "--from", out / "sides.csv",
           "--group", out / "sides.csv", "--out", out / "data")  # fmt: skip


def agreement(first, second):
    """IoU of the truth of the same test tiles in two trees."""
    counts = 0
    trees = [find_samples(tree / "data" / "test") for tree in (first, second)]
    masks = {}
    for samples in trees:
        for sample in samples:
            row, column = (int(part.strip("rc")) for part in
                           sample.name.split("_")[1:3])  # fmt: skip
            if not sample.name.endswith(f"_s{TILE}"):
                row, column = row * TILE, column * TILE
            ids = read_class_ids(sample, CLASSES, (TILE, TILE))
            masks.setdefault((row, column), []).append(ids)
    for truth, other in masks.values():
        counts = counts + confusion(truth, other, 2, 2)
    return len(masks), iou(counts)[1]


def train(source, out, options):
    """Train on each set of tiles, and print the scores."""
    sets = {"prepared": prepared, "tiles": cut}
    for name, prepare in sets.items():
        if not (out / name / "data").exists():
            prepare(source, out / name)
    count, same = agreement(out / "prepared", out / "tiles")
    print(f"{count} test tiles, whose two truths have an IoU of {same:.4f}")
    for name in sets:
        script("train/compare.py", out / name / "data", "--out",
               out / name / "runs", *options)  # fmt: skip
    table = {}
    for name in sets:
        runs = pd.read_csv(out / name / "runs" / "runs.csv")
        for variant, some in runs.groupby("variant", sort=False):
            table[name, variant] = {
                "training tiles": len(find_samples(out / name / "data/train")),
                "seeds": len(some),
                "IoU": f"{some['iou'].mean():.3f}",
                "deviation": f"{some['iou'].std():.3f}",
                "95 %": f"{some['iou_low'].mean():.3f} to "
                f"{some['iou_high'].mean():.3f}",
                "seconds an epoch": f"{some['seconds_an_epoch'].mean():.1f}",
            }
    print(pd.DataFrame(table).T.to_string())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="../shared/data")
    parser.add_argument(
        "--side", type=int, nargs="*", help="mosaics of these sizes instead"
    )
    parser.add_argument("--train", action="store_true", help="train instead")
    parser.add_argument("--out", type=Path, default=Path("runs/tiling"))
    args, options = parser.parse_known_args()
    if args.train:
        train(args.source, args.out, options)
        return
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        if not args.side:
            scene = args.source / "scene" / "banepa.tif"
            measure(scene, scene.with_suffix(".geojson"), place)
        for side in args.side or ():
            path = place / f"mosaic_{side}.tif"
            mosaic(args.source, path, side)
            mirrored(args.source, path.with_suffix(".geojson"), side)
            measure(path, path.with_suffix(".geojson"), place)


if __name__ == "__main__":
    main()
