"""Does a network that learns the borders of objects tell them apart better?

Trains with and without --objects on the 720 training tiles, as often as there
are seeds, and finds objects on the test tiles that have polygons: the regions
of the mask, the same cut by their shape and probability alone, and cut along
the network's borders as well. The heights are chosen on the validation images
of each training, those with polygons. Finished trainings are kept. Options
besides those below are those of train_unet.py, for every training.

    python tests/benchmarks/seams.py ../shared/data/buildings --seeds 3
    python tests/benchmarks/seams.py ../shared/data/buildings --recipe best
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from buildings import CLASSES, prepare, script
from objects import large

from unet.files import splits
from unet.files.folders import find_samples
from unet.geometry.separation import separate
from unet.network.contract import read_contract
from unet.network.model import load
from unet.prediction.stream import predict_labelled
from unet.scoring.counts import confusion, iou
from unet.scoring.objects import match
from unet.terminal import cli
from unet.training import dataset

HEIGHTS = (1, 2, 3, 4, 5, 6, 8, 10)  # pixels of the tiles
WAYS = {"shape and probability": False, "borders as well": True}


def validation_samples(data, size):
    """What train_unet.py sets aside of the training tiles, by default."""
    samples = find_samples(data / "train")
    progress = cli.progress_bar(quiet=False)
    arrays = dataset.load(samples, (size, size), CLASSES, progress)
    rule = splits.recorded_groups(data)
    _, rows = splits.split_validation(
        splits.group_names(arrays.names, rule),
        0.1,
        arrays.has_object(),
        arrays.traits(),
    )
    return [samples[row] for row in rows]


def size_of(run):
    """Side of the input of a run's model, pixels."""
    return read_contract(run / "unet.keras").size[0]


def object_f1(predictions, height, along_borders):
    """Object F1, pooled over (name, truth, strip) of some tiles."""
    three = np.zeros(3)
    for _, truth, strip in predictions:
        edge = strip.edge if along_borders else None
        labels = separate(
            strip.ids == 1, strip.probability[..., 0], height, False, edge
        )
        three += match(large(truth.instances), large(labels))
    return 2 * three[0] / (three[1] + three[2])


def scores(run, validation, test, has_polygons):
    """Building IoU and object F1 of a run's model, a dict."""
    model = load(run / "unet.keras")
    chosen_on = list(predict_labelled(model, validation, CLASSES))
    judged = list(predict_labelled(model, test, CLASSES))
    matrix = sum(confusion(t.ids, s.ids, 2, 2) for _, t, s in judged)
    judged = [each for each in judged if has_polygons[each[0]]]
    result = {
        "building IoU": iou(matrix)[1],
        "components": object_f1(judged, None, False),
    }
    for way, along_borders in WAYS.items():
        if along_borders and judged[0][2].edge is None:
            continue
        best = max(
            HEIGHTS, key=lambda h: object_f1(chosen_on, h, along_borders)
        )
        result[way] = object_f1(judged, best, along_borders)
        result[f"{way}: height"] = best
    return result


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="the buildings directory")
    parser.add_argument("--out", type=Path, default=Path("runs/seams"))
    parser.add_argument("--seeds", type=int, default=3)
    args, common = parser.parse_known_args()
    index = pd.read_csv(args.source / "index.csv", dtype=str)
    has_polygons = index.set_index("name")["annotation"] == "text"
    data = args.out / "data"
    if not data.exists():
        prepare(args.source, args.out)
    test, validation, rows = find_samples(data / "test"), None, {}
    # Each way to train has trainings of its own.
    runs = args.out / "_".join(common)
    for seed in range(args.seeds):
        for variant in ("default", "objects"):
            run = runs / f"{variant}_{seed}"
            objects = ["--objects"] * (variant == "objects")
            if not (run / "summary.json").exists():
                script("train/train_unet.py", data, "--seed", seed,
                       "--out", run, "--model", run.with_suffix(".keras"),
                       *common, *objects)  # fmt: skip
            validation = validation or [
                sample
                for sample in validation_samples(data, size_of(run))
                if has_polygons[sample.name]
            ]
            rows[variant, seed] = scores(run, validation, test, has_polygons)
            print(rows[variant, seed], file=sys.stderr)
    table = pd.DataFrame(rows).T
    print(table.round(3).to_string())
    grouped = table.groupby(level=0)
    print(grouped.mean().round(3).to_string())
    print(grouped.std().round(3).to_string())


if __name__ == "__main__":
    main()
