"""The annotation loop on real tiles: train, predict, correct, train again.

100 annotated tiles of one place train a first model. It predicts 50 more,
whose polygons are corrected, and 150 train a second one; both are scored on
the test tiles of that place. The corrections are simulated from the truth: a predicted
polygon that matches a true one (IoU of at least 0.75) stays as it was
predicted, every other one is deleted, and what is then missing is drawn anew.

    python tests/benchmarks/loop.py ../shared/data/buildings --area banepa
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import shapely

from unet.annotations import read_article_text
from unet.formats import read_file

CODE = Path(__file__).resolve().parents[2] / "code"
# banepa_ROW_COLUMN and aoi1_0_ZOOM_COLUMN_ROW.
COLUMN = r"^(?:banepa_\d+|aoi\d_\d_\d+)_(\d+)"
FIRST, MORE = 100, 50
LEFT_ALONE = 0.75


def script(name, *arguments):
    """Run one of the project's scripts and show what it prints."""
    command = [sys.executable, CODE / name, *arguments]
    print("$ python", f"code/{name}", *arguments, flush=True)
    subprocess.run([str(part) for part in command], check=True)


def choose(source, area):
    """Names of the tiles: to start with, to add, and to test on.

    From west to east, so that what is added is new ground.
    """
    index = pd.read_csv(source / "index.csv", dtype=str)
    index = index[index["area"].str.startswith(area)]
    column = index["name"].str.extract(COLUMN)[0]
    index = index.assign(column=column).sort_values(["column", "name"])
    train = index["name"][index["split"] == "train"].tolist()
    test = index["name"][index["split"] == "test"].tolist()
    return train[:FIRST], train[FIRST : FIRST + MORE], test


def lay_out(source, names, kind, out):
    """Copy files of these names into a directory of their own."""
    ending = {"images": "png", "annotations": "txt"}[kind]
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(source / kind / f"{name}.{ending}", out)
    return out


def train(images, annotations, out, test):
    """Folders, split, training: the model's path and its test score."""
    model = out / "model.keras"
    if not model.exists():
        script("util/polygon_to_mask.py", images, *annotations,
               "--out", out / "folders", "--overwrite")  # fmt: skip
        names = sorted(path.stem for path in images.iterdir())
        sides = ["test" if name in test else "train" for name in names]
        table = out / "sides.csv"
        pd.DataFrame({"name": names, "split": sides}).to_csv(table, index=False)
        script("util/split.py", out / "folders", "--from", table,
               "--group", COLUMN, "--out", out / "data")  # fmt: skip
        script("train/train_unet.py", out / "data", "--out", out / "run",
               "--model", model)  # fmt: skip
    script("test/test.py", out / "data" / "test", "--model", model,
           "--out", out / "masks", "--overwrite")  # fmt: skip
    scores = json.loads((out / "masks" / "scores.json").read_text())
    return model, scores["classes"]["building"]


def correct(draft, truth, out):
    """Correct a labelme file as an annotator would.

    Returns:
        How many polygons were left alone, deleted and drawn.
    """
    shapes = json.loads(draft.read_text())
    (read,) = read_file(draft).values()
    drawn = [valid(one.geometry) for one in read.instances]
    true = [valid(one.geometry) for one in truth.instances]
    kept, found = [], set()
    for geometry in drawn:
        scores = [overlap(geometry, other) for other in true]
        if scores and max(scores) >= LEFT_ALONE:
            kept.append(geometry)
            found.add(int(np.argmax(scores)))
    missing = [one for n, one in enumerate(true) if n not in found]
    shapes["imagePath"] = f"{draft.stem}.png"
    shapes["shapes"] = [
        {"label": "building", "shape_type": "polygon", "flags": {},
         "group_id": None, "points": list(part.exterior.coords)[:-1]}
        for geometry in kept + missing
        for part in shapely.get_parts(geometry)
        if part.geom_type == "Polygon"
    ]  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / draft.name).write_text(json.dumps(shapes))
    return len(kept), len(drawn) - len(kept), len(missing)


def valid(geometry):
    return shapely.make_valid(geometry)


def overlap(a, b):
    return a.intersection(b).area / a.union(b).area


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the buildings directory")
    parser.add_argument("--area", default="banepa", help="banepa or aoi1")
    parser.add_argument("--out", type=Path, help="default: runs/loop_AREA")
    args = parser.parse_args()
    first, more, test = choose(args.source, args.area)
    out = args.out or Path("runs") / f"loop_{args.area}"
    start, again = out / "first", out / "second"
    images = lay_out(args.source, first + test, "images", start / "images")
    texts = lay_out(args.source, first + test, "annotations", start / "texts")
    model, before = train(images, [texts], start, test)

    unseen = lay_out(args.source, more, "images", out / "unseen")
    script("test/test.py", unseen, "--model", model, "--out", out / "drafts",
           "--annotations", "labelme", "--overwrite")  # fmt: skip
    effort = np.zeros(3, int)
    shutil.rmtree(out / "corrected", ignore_errors=True)
    for name in more:
        path = args.source / "annotations" / f"{name}.txt"
        truth = read_article_text(path)[name]
        draft = out / "drafts" / "annotations" / f"{name}.json"
        effort += correct(draft, truth, out / "corrected")

    names = first + more + test
    images = lay_out(args.source, names, "images", again / "images")
    _, after = train(images, [texts, out / "corrected"], again, test)
    left, deleted, drawn = effort
    print(
        f"{len(more)} tiles: {left} predicted polygons left alone, {deleted} "
        f"deleted, {drawn} drawn ({left / (left + drawn):.0%} of all "
        "buildings needed no hand)"
    )
    for tiles, scores in (
        (len(first), before),
        (len(first) + len(more), after),
    ):
        low, high = scores["iou_interval"]
        print(
            f"trained on {tiles} tiles: building IoU {scores['iou']:.3f} "
            f"(95 %: {low:.3f} to {high:.3f}), object F1 "
            f"{scores['object_f1']:.3f}"
        )


if __name__ == "__main__":
    main()
