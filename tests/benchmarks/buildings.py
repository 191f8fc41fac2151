"""Train and score on 900 real tiles, prepared by the project's own scripts.

720 tiles train and 180 test, on other ground. Printed are the scores of every
seed, their mean and spread, and the building IoU of each area.

    python tests/benchmarks/buildings.py ../shared/data/buildings --seeds 0
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from unet.folders import find_samples
from unet.images import read_image, read_mask
from unet.masks import read_class_ids
from unet.scoring import confusion, iou

CODE = Path(__file__).resolve().parents[2] / "code"


def script(name, *arguments):
    """Run one of the project's scripts and show what it prints."""
    command = [sys.executable, CODE / name, *arguments]
    print("$ python", f"code/{name}", *arguments, flush=True)
    subprocess.run([str(part) for part in command], check=True)


def prepare(source, out):
    """Images, texts and masks to the tree of the given split."""
    script("util/polygon_to_mask.py", source / "images",
           source / "annotations", source / "masks",
           "--out", out / "folders")  # fmt: skip
    script("util/split.py", out / "folders", "--from", source / "index.csv",
           "--group", "(.+)_", "--out", out / "data")  # fmt: skip


def by_area(tree, predictions, areas):
    """Confusion counts of each area: dict from name to 2 x 2 array."""
    counts = {}
    for sample in find_samples(tree):
        shape = read_image(sample.image).shape[:2]
        truth = read_class_ids(sample, ["building"], shape)
        mask = read_mask(predictions / f"{sample.name}.png", shape)
        area = areas[sample.name]
        one = confusion(truth, mask.astype(np.uint8), 2, 2)
        counts[area] = counts.get(area, 0) + one
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the buildings directory")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/buildings"))
    args, options = parser.parse_known_args()
    index = pd.read_csv(args.source / "index.csv", dtype=str)
    areas = dict(zip(index["name"], index["area"], strict=True))
    if not (args.out / "data").exists():
        prepare(args.source, args.out)
    rows, tables = [], []
    for seed in args.seeds:
        words = [word.strip("-") for word in options]
        run = args.out / "_".join(["seed", str(seed), *words])
        start = time.monotonic()
        script("train/train_unet.py", args.out / "data", "--seed", str(seed),
               "--out", run, "--model", run / "model.keras",
               *options)  # fmt: skip
        minutes = (time.monotonic() - start) / 60
        test = args.out / "data" / "test"
        script("test/test.py", test, "--model", run / "model.keras",
               "--out", run / "masks")  # fmt: skip
        scores = json.loads((run / "masks" / "scores.json").read_text())
        rows.append(
            {
                "seed": seed,
                "building IoU": scores["classes"]["building"]["iou"],
                "mean IoU": scores["mean_iou"],
                "cross-entropy": scores["cross_entropy"],
                "minutes": minutes,
            }
        )
        counts = by_area(test, run / "masks", areas)
        tables.append({area: iou(one)[1] for area, one in counts.items()})
    table = pd.DataFrame(rows).set_index("seed")
    print(table.round(4).to_string())
    if len(table) > 1:
        print(table.agg(["mean", "std"]).round(4).to_string())
    print("building IoU by area, mean over seeds:")
    sizes = pd.Series(areas)[index["name"][index["split"] == "test"]]
    means = pd.DataFrame(tables).mean()
    for area, tiles in sizes.value_counts().sort_index().items():
        print(f"  {area:<10}{tiles:4d} tiles  {means[area]:.3f}")


if __name__ == "__main__":
    main()
