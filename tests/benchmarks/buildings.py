"""Compare trainings on 900 real tiles, prepared by the project's own scripts.

720 tiles train and 180 test, on other ground. Options are those of
compare.py; the building IoU of each area is printed besides.

    python tests/benchmarks/buildings.py ../shared/data/buildings --seeds 3
"""

import argparse
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pandas as pd

from unet.files.folders import find_samples
from unet.network.contract import read_contract
from unet.network.model import load
from unet.prediction.stream import predict_labelled
from unet.prediction.strip import Settings
from unet.scoring.counts import confusion, iou

CODE = Path(__file__).resolve().parents[2] / "code"
CLASSES = ["building"]


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


def by_area(run, samples, areas):
    """Building IoU of a run's model on the tiles of each area, a Series."""
    model = load(run / "unet.keras")
    contrast = read_contract(run / "unet.keras").preprocessing.contrast
    settings = Settings(contrast=contrast)
    counts = {}
    for name, truth, strip in predict_labelled(
        model, samples, CLASSES, settings
    ):
        matrix = confusion(truth.ids, strip.ids, 2, 2)
        area = areas[name]
        counts[area] = counts.get(area, 0) + matrix
    return pd.Series({area: iou(one)[1] for area, one in counts.items()})


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="the buildings directory")
    parser.add_argument("--out", type=Path, default=Path("runs/buildings"))
    parser.add_argument("--seeds", default="1", help="how many")
    args, options = parser.parse_known_args()
    index = pd.read_csv(args.source / "index.csv", dtype=str)
    areas = index.set_index("name")["area"]
    if not (args.out / "data").exists():
        prepare(args.source, args.out)
    script("train/compare.py", args.out / "data", "--seeds", args.seeds,
           "--out", args.out, *options)  # fmt: skip

    samples = find_samples(args.out / "data" / "test")
    tiles = areas[[sample.name for sample in samples]].value_counts()
    table = {"test tiles": tiles}
    runs = sorted((args.out / "runs").glob("*_seed_*"))
    for variant, some in groupby(runs, lambda run: run.name.split("_seed_")[0]):
        scores = [by_area(run, samples, areas) for run in some]
        table[variant] = pd.concat(scores, axis=1).mean(axis=1).round(3)
    print("building IoU by area, mean over seeds:")
    print(pd.DataFrame(table).to_string())


if __name__ == "__main__":
    main()
