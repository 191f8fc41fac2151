"""Make the model that comes with the project, and say what it can do.

It learns from the aoi* and banepa training tiles, whose licences allow it. It
is then scored on the test tiles and on all barnarp tiles, a place, a country
and a camera that it has never seen, on both reduced and enlarged, and on the
sample's test scenes. The scores and the attribution go into the model's
contract, and model_card.py writes MODEL.md from it. Seed 0 is the model; the
card says how far trainings with other seeds differ from it. The same command
gives the same weights.

    python tests/benchmarks/shipped.py ../shared/data/buildings --seeds 3

Without a training, where roofs that touch come apart:

    python tests/benchmarks/shipped.py ../shared/data/buildings --separate
"""

import argparse
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from unet.files.atomic import replacing
from unet.files.folders import find_samples
from unet.geometry.masks import to_ids
from unet.imagery.mask_values import read_class_ids
from unet.imagery.reading import read_image
from unet.network.contract import MEMBER, append_contract, read_contract
from unet.network.model import load, save
from unet.prediction.stream import predict_labelled
from unet.scoring.heights import GRID, HeightChoice
from unet.scoring.scores import Scores
from unet.terminal import cli

CODE = Path(__file__).resolve().parents[2] / "code"
CLASSES = ["building"]
UNSEEN = "barnarp"
# "wide" shows roofs at half to double their size, in other light and sharpness.
RECIPE = ["--recipe", "best", "--augment", "wide", "--epochs", "30"]
# Rows of tiles share roofs.
GROUP = ".+(?=_)"
# Metres a pixel at which it sees georeferenced images; others it sees at their
# own size.
RESOLUTION, SCALE = 0.15, 1.0
SCALES = (0.5, 0.71, 1.0, 1.41, 2.0)
NOTES = {
    "title": "Buildings from above",
    "trained_on": "the training tiles (256 x 256 pixels, 0.13 to 0.15 m a "
    "pixel, drone imagery) of Zanzibar, Kampala, Banepa in Nepal and the "
    "Philippines; its encoder before on ImageNet",
    "attribution": [
        "Imagery of Zanzibar, Kampala, Nepal and the Philippines: "
        "OpenAerialMap contributors, CC BY 4.0, by way of HOT's "
        "fAIr-utilities; Banepa by way of HOT's fAIr-models, CC BY 4.0.",
        "Building outlines: OpenStreetMap contributors, ODbL.",
    ],
    "limits": [
        "It knows roofs seen from straight above, 0.1 to 0.3 m to a pixel of "
        "its input. Georeferenced images are brought to 0.15 m; others are "
        "seen at their own size. Show it coarser ones with --scale 2, finer "
        "ones with --scale 0.5.",
        "Where it has never been four of ten pixels that it marks may be no "
        "roof: in Sweden paved yards, hedges and shadows beside the roofs, "
        "and whole playgrounds.",
        "The score in Barnarp is somewhat kind: that such augmentation helps "
        "there was known from former models. No weights were chosen there.",
        "Roofs that touch are one region of the mask. As polygons most come "
        "apart; a little more than half of the buildings are found at an IoU "
        "of 0.5.",
        "Small sheds are often unlabelled in its training data, and often "
        "missed.",
    ],
}


def script(name, *arguments):
    """Run one of the project's scripts and show what it prints."""
    words = [str(word) for word in arguments]
    print("$ python", f"code/{name}", *words, flush=True)
    subprocess.run([sys.executable, CODE / name, *words], check=True)


def prepare(source, out):
    """Two trees: OUT/data with train/ and test/, and OUT/unseen."""
    index = pd.read_csv(source / "index.csv", dtype=str)
    unseen = index["area"] == UNSEEN
    for name, rows in {"own": index[~unseen], "unseen": index[unseen]}.items():
        images = out / f"{name}_images"
        images.mkdir(parents=True)
        for tile in rows["name"]:
            (images / f"{tile}.png").symlink_to(
                (source / "images" / f"{tile}.png").resolve()
            )
        truth = "masks" if name == "unseen" else "annotations"
        script("util/polygon_to_mask.py", images, source / truth,
               "--out", out / name)  # fmt: skip
    table = index[~unseen][["name", "split"]]
    table.to_csv(out / "given.csv", index=False)
    script("util/split.py", out / "own", "--from", out / "given.csv",
           "--group", GROUP, "--out", out / "data")  # fmt: skip


def at_scale(model, image, factor):
    """Probabilities of an image that the network sees larger or smaller.

    Args:
        model: the network.
        image: uint8, H x W x 3, square.
        factor: 1: the whole image fills the network's input. 2: it is twice
            as large and seen in windows. 0.5: it is half as large, and the
            input filled up with its mirror image.

    Returns:
        float32, H x W x 1.
    """
    side = model.input_shape[1]
    total = round(side * factor)
    how = cv2.INTER_AREA if total < len(image) else cv2.INTER_LINEAR
    seen = cv2.resize(image, (total, total), interpolation=how)
    edge = max(0, -(-(side - total) // 2))
    seen = cv2.copyMakeBorder(
        seen, edge, edge, edge, edge, cv2.BORDER_REFLECT_101
    )
    length = len(seen)
    count = -(-length // side)
    starts = np.linspace(0, length - side, count).round().astype(int)
    found = np.zeros((length, length), np.float32)
    weight = np.zeros_like(found)
    places = [(top, left) for top in starts for left in starts]
    windows = [seen[t : t + side, l_ : l_ + side] for t, l_ in places]
    for (top, left), one in zip(
        places, model.predict_on_batch(np.stack(windows)), strict=True
    ):
        found[top : top + side, left : left + side] += one[..., 0]
        weight[top : top + side, left : left + side] += 1
    found = (found / weight)[edge : edge + total, edge : edge + total]
    back = cv2.resize(found, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return back[..., None]


def scores(model, tree, factor):
    """Scores on a tree of samples whose images are seen at another scale."""
    counted = Scores(CLASSES)
    for sample in find_samples(tree):
        image = read_image(sample.image)
        truth = read_class_ids(sample, CLASSES, image.shape[:2])
        found = at_scale(model, image, factor)
        counted.add(sample.name, truth, to_ids(found, 0.5), found)
    return counted.summary()


def evaluations(model, out):
    """Scores at other places and scales, for the contract: list of dicts."""
    trees = {
        "test tiles of the same places": (out / "data" / "test", SCALES),
        "tiles of Barnarp in Sweden, never seen": (out / "unseen", SCALES),
        "test scenes of the synthetic sample": (cli.DATA / "test", [1]),
    }
    found = []
    for where, (tree, factors) in trees.items():
        for factor in factors:
            one = {
                "where": where,
                "images": len(find_samples(tree)),
                "scale": factor,
                "scores": scores(model, tree, factor),
            }
            iou = one["scores"]["classes"]["building"]["iou"]
            print(f"{where}, scale {factor}: building IoU {iou:.3f}")
            found.append(one)
    return found


def heights(model, out):
    """How far roofs that touch come apart: chosen on the training tiles.

    Returns:
        dict for the contract.
    """
    sides = pd.read_csv(out / "given.csv", dtype=str).set_index("name")["split"]
    samples = [
        sample
        for sample in find_samples(out / "own")
        if sides[sample.name] == "train"
    ]
    choice = HeightChoice(CLASSES, CLASSES)
    for _, truth, strip in predict_labelled(model, samples, CLASSES):
        scale = np.sqrt(np.prod(model.input_shape[1:3]) / strip.ids.size)
        choice.add(truth, strip, scale)
    for height, (matched, *both) in zip(
        GRID, choice.counts[CLASSES[0]].tolist(), strict=True
    ):
        f1 = 2 * matched / sum(both)
        print(
            f"apart at {height:g}: object F1 {f1:.3f} on {len(samples)} tiles"
        )
    return choice.best()


def rewrite(path, contract):
    """Replace the contract of a model file; all else stays, byte by byte."""
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for info, data in members:
                if info.filename != MEMBER:
                    archive.writestr(info, data)
        append_contract(temporary, contract)


def separate(path, out):
    """Choose the heights of a model that is there, and write them into it."""
    chosen = heights(load(path), out)
    rewrite(path, replace(read_contract(path), separation=chosen))
    script("test/model_card.py", "--model", path, "--overwrite")


def train(seed, out, options):
    """Train with a seed, unless that is done: the model's path."""
    run = out / "_".join(["run", str(seed), *options])
    if not (run / "unet.keras").exists():
        script("train/train_unet.py", out / "data", "--seed", seed,
               "--out", run, "--model", run / "model.keras", *RECIPE,
               *options)  # fmt: skip
    return run / "unet.keras"


def scores_by_seed(paths, out):
    """How far models of several seeds differ, a sentence for the card."""
    parts = []
    for tree, where in (
        (out / "data" / "test", "on the test tiles of the same places"),
        (out / "unseen", "in Barnarp"),
    ):
        found = [
            scores(load(path), tree, 1.0)["classes"]["building"]["iou"]
            for path in paths
        ]
        *others, last = (f"{iou:.3f}" for iou in found)
        values = f"{', '.join(others)} and {last}"
        print(f"building IoU {where}: {values}", flush=True)
        parts.append(f"{values} {where}")
    return (
        f"{len(paths)} trainings that differ in their seed alone have a "
        f"building IoU of {', and of '.join(parts)}. This is the first one."
    )


def publish(paths, out, path):
    """Write the first model with all that is to be said of it, and its card."""
    model, notes = load(paths[0]), NOTES
    if len(paths) > 1:
        notes = {
            **NOTES,
            "limits": [*NOTES["limits"], scores_by_seed(paths, out)],
        }
    contract = replace(
        read_contract(paths[0]),
        separation=heights(model, out),
        notes=notes,
        evaluations=evaluations(model, out),
        resolution=[RESOLUTION, RESOLUTION],
        scale=SCALE,
        scales=[SCALE, SCALE],
    )
    save(model, path, contract)
    script("test/model_card.py", "--model", path, "--overwrite")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="the buildings directory")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    parser.add_argument("--model", type=Path, default=cli.SHIPPED)
    parser.add_argument(
        "--separate",
        action="store_true",
        help="train nothing: choose where roofs that touch come apart, and "
        "write it into --model",
    )
    args, options = parser.parse_known_args()
    if not (args.out / "data").exists():
        prepare(args.source, args.out)
    if args.separate:
        return separate(args.model, args.out)
    models = [train(seed, args.out, options) for seed in range(args.seeds)]
    publish(models, args.out, args.model)


if __name__ == "__main__":
    main()
