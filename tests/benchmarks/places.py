"""Can a model be brought nearer to a place that it has not seen?

Trainings without the tiles of a place, on the training tiles of the others;
Banepa and aoi3 are one place. Then the place's training tiles are predicted
with statistics of batch normalisation that go over to theirs by a share. The
best share is what ``test.py --adapt`` advises.

    python tests/benchmarks/places.py ../shared/data/buildings
"""

import argparse
from pathlib import Path

import pandas as pd
from buildings import CLASSES, prepare, script

from unet.files.folders import find_samples
from unet.network.contract import read_contract
from unet.network.model import load
from unet.prediction import adaptation
from unet.prediction.stream import predict_labelled
from unet.prediction.strip import Settings
from unet.scoring.counts import confusion, iou

# Name of a training -> the areas it does not see.
LEFT_OUT = {
    "aoi1": ["aoi1"],
    "aoi2": ["aoi2"],
    "nepal": ["aoi3", "banepa"],
    "aoi4": ["aoi4"],
}
AREAS = [area for areas in LEFT_OUT.values() for area in areas]
SHARES = (0, 0.1, 0.25, 0.5, 0.75, 1)
RECIPE = ["--recipe", "best", "--size", "128", "--augment", "wide",
          "--epochs", "8", "--group", "(.+)_"]  # fmt: skip


def area_of(sample):
    """The area of a tile, by its name."""
    return sample.name.split("_")[0]


def train_without(areas, samples, out):
    """Train on the samples of all other areas, unless that is done."""
    tree = out / "data" / "train"
    if not tree.exists():
        tree.mkdir(parents=True)
        for sample in samples:
            if area_of(sample) not in areas:
                folder = sample.image.parents[1]
                (tree / folder.name).symlink_to(folder.resolve())
    if not (out / "run" / "summary.json").exists():
        script("train/train_unet.py", out / "data", *RECIPE, "--out",
               out / "run", "--model", out / "model.keras")  # fmt: skip


def building_iou(model, samples):
    """Building IoU of all pixels of some samples together."""
    counts = 0
    for _, truth, strip in predict_labelled(model, samples, CLASSES):
        counts = counts + confusion(truth.ids, strip.ids, 2, 2)
    return iou(counts)[1]


def with_shares(path, samples, others):
    """Building IoU of samples at each share, a dict.

    Views are 64 of the samples; where there are fewer than the 16 that it
    takes, of others of the same place as well.
    """
    looked_at = samples if len(samples) >= 16 else [*samples, *others]
    scores = {}
    for share in SHARES:
        model = load(path)
        if share:
            seen = adaptation.views(looked_at, read_contract(path), Settings())
            adaptation.adapt(model, seen, share)
        scores[share] = round(float(building_iou(model, samples)), 3)
    return scores


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the buildings directory")
    parser.add_argument("--out", type=Path, default=Path("runs/places"))
    args = parser.parse_args()
    if not (args.out / "tiles" / "data").exists():
        prepare(args.source, args.out / "tiles")
    sides = {
        side: [
            sample
            for sample in find_samples(args.out / "tiles" / "data" / side)
            if area_of(sample) in AREAS
        ]
        for side in ("train", "test")
    }
    samples = sides["train"]
    table = {}
    for name, areas in LEFT_OUT.items():
        out = args.out / name
        train_without(areas, samples, out)
        for area in areas:
            own, others = (
                [sample for sample in sides[side] if area_of(sample) == area]
                for side in ("train", "test")
            )
            scores = with_shares(out / "run" / "unet.keras", own, others)
            table[area] = {"tiles": len(own), **scores}
            print(area, table[area], flush=True)
    table = pd.DataFrame(table).T
    table.loc["mean"] = table.mean()
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
