"""Can a model be brought nearer to a place that it has not seen?

Trainings without the tiles of a place, on the training tiles of the others;
Banepa and aoi3 are one place. Then the place's training tiles are predicted
with statistics of batch normalisation that go over to theirs by a share. The
best share is what ``test.py --adapt`` advises.

With --more, two other ways: one round of self-training, in which the pixels
that the model is sure of become truth and the rest is ignored, and some tiles
of the place labelled, from which the model learns on. Both start from the same
trainings.

With --drawn the trainings also see the sample's scenes. Options besides those
below are those of train_unet.py.

    python tests/benchmarks/places.py ../shared/data/buildings
    python tests/benchmarks/places.py ../shared/data/buildings --more
    python tests/benchmarks/places.py ../shared/data/buildings --drawn
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from buildings import CLASSES, prepare, script

from unet.files.folders import find_samples
from unet.files.splits import spread
from unet.imagery.png import write_png
from unet.network.contract import read_contract
from unet.network.model import load
from unet.prediction import adaptation
from unet.prediction.stream import predict_labelled
from unet.prediction.strip import Settings
from unet.scoring.counts import confusion, iou
from unet.terminal import cli

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
LABELLED = (16, 32, 50)  # tiles
SURE = 0.1  # and less, or as near to 1


def area_of(sample):
    """The area of a tile, by its name."""
    return sample.name.split("_")[0]


def train(samples, out, *options):
    """Train on some samples, unless that is done."""
    tree = out / "data" / "train"
    tree.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        folder = sample.image.parents[1]
        if not (tree / folder.name).exists():
            (tree / folder.name).symlink_to(folder.resolve())
    if not (out / "run" / "summary.json").exists():
        script("train/train_unet.py", out / "data", *RECIPE, *options, "--out",
               out / "run", "--model", out / "model.keras")  # fmt: skip


def self_trained(path, samples, others, out):
    """Building IoU of a model that learned its own sure answers, and others.

    Args:
        path: the model's file.
        samples: of the place, whose labels are not looked at.
        others: labelled samples of other places.
        out: directory for everything that is made.
    """
    model, tree = load(path), out / "answers"
    for name, _, strip in predict_labelled(model, samples, CLASSES):
        p = strip.probability[..., 0]
        masks = tree / name / "masks"
        (masks / "ignore").mkdir(parents=True, exist_ok=True)
        unsure = (p > SURE) & (p < 1 - SURE)
        write_png(masks / "sure.png", np.uint8(255 * (p >= 1 - SURE)))
        write_png(masks / "ignore" / "unsure.png", np.uint8(255 * unsure))
    for sample in samples:
        images = tree / sample.name / "images"
        if not images.exists():
            images.symlink_to(sample.image.parent.resolve())
    train([*others, *find_samples(tree)], out, "--start-from", path)
    return building_iou(load(out / "run" / "unet.keras"), samples)


def with_labels(path, samples, out):
    """Building IoU after some labelled tiles: number of tiles -> two scores.

    Judged are the tiles that were not labelled: by the model as it was, and
    after it learned on.
    """
    scores = {}
    for count in LABELLED:
        drawn = spread(samples, count)
        names = {sample.name for sample in drawn}
        rest = [sample for sample in samples if sample.name not in names]
        if len(rest) < count / 2:
            break
        own = out / f"labelled_{count}"
        train(drawn, own, "--start-from", path)
        after = load(own / "run" / "unet.keras")
        scores[f"{count} labelled: before"] = building_iou(load(path), rest)
        scores[f"{count} labelled"] = building_iou(after, rest)
    return scores


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
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="the buildings directory")
    parser.add_argument("--out", type=Path, default=Path("runs/places"))
    parser.add_argument("--more", action="store_true", help="see above")
    parser.add_argument("--drawn", action="store_true", help="see above")
    args, options = parser.parse_known_args()
    # Each way to train has trainings of its own.
    way = "_".join(["drawn"] * args.drawn + options)
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
    drawn = find_samples(cli.DATA / "train") if args.drawn else []
    table = {}
    for name, areas in LEFT_OUT.items():
        out = args.out / way / name
        rest = [s for s in samples if area_of(s) not in areas] + drawn
        train(rest, out, *options)
        for area in areas:
            own, others = (
                [sample for sample in sides[side] if area_of(sample) == area]
                for side in ("train", "test")
            )
            path = out / "run" / "unet.keras"
            if args.more:
                scores = {
                    "as it was": building_iou(load(path), own),
                    "self-trained": self_trained(path, own, rest, out / area),
                    **with_labels(path, own + others, out / area),
                }
            else:
                scores = with_shares(path, own, others)
            table[area] = {"tiles": len(own), **scores}
            print(area, table[area], flush=True)
    table = pd.DataFrame(table).T
    table.loc["mean"] = table.mean()
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
