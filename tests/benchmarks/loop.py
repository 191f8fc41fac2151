"""The annotation loop: train, predict, correct, train again.

Some annotated tiles of one place train a first model. It predicts more, whose
polygons are corrected, and all of them train a second one; both are scored on
the test tiles of that place. The corrections are simulated from the truth: a
predicted polygon that matches a true one (IoU of at least 0.75) stays as it
was predicted, every other one is deleted, and what is then missing is drawn
anew. Options besides those below are those of train_unet.py.

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
from matplotlib.figure import Figure

from unet.annotations.article import read_article_text
from unet.annotations.reading import read_file
from unet.files.splits import spread
from unet.imagery.reading import read_image
from unet.pictures.figures import save_figure

CODE = Path(__file__).resolve().parents[2] / "code"
# banepa_ROW_COLUMN, aoi1_0_ZOOM_COLUMN_ROW, Folder_NUMBER.
COLUMN = r"^(?:banepa_\d+|aoi\d_\d_\d+|Folder)_(\d+)"
LEFT_ALONE = 0.75
DRAFT, CORRECTED = (230, 60, 150), (0, 158, 255)


def script(name, *arguments):
    """Run one of the project's scripts and show what it prints."""
    command = [sys.executable, CODE / name, *arguments]
    print("$ python", f"code/{name}", *arguments, flush=True)
    subprocess.run([str(part) for part in command], check=True)


def choose(index, area, first, more):
    """Names of the tiles: to start with, to add, and to test on.

    From west to east, so that what is added is new ground.
    """
    table = pd.read_csv(index, dtype=str)
    if "area" in table:
        table = table[table["area"].str.startswith(area)]
    column = table["name"].str.extract(COLUMN)[0].astype(int)
    table = table.assign(column=column).sort_values(["column", "name"])
    train = table["name"][table["split"] == "train"].tolist()
    test = table["name"][table["split"] == "test"].tolist()
    return train[:first], train[first : first + more], test


def lay_out(source, names, kind, out):
    """Copy files of these names into a directory of their own."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path,) = (source / kind).glob(f"{name}.*")
        shutil.copy(path, out)
    return out


def train(trees, sides, out, options):
    """Split and train: the model's path and its test score.

    Args:
        trees: directories of folders.
        sides: CSV that names the tests; folders that it lacks train.
        out: directory for everything that is made.
        options: of train_unet.py.
    """
    model = out / "model.keras"
    if not model.exists():
        script("util/split.py", *trees, "--from", sides, "--others", "train",
               "--group", COLUMN, "--out", out / "data")  # fmt: skip
        script("train/train_unet.py", out / "data", "--out", out / "run",
               "--model", model, *options)  # fmt: skip
    script("test/test.py", out / "data" / "test", "--model", model,
           "--out", out / "masks", "--overwrite")  # fmt: skip
    scores = json.loads((out / "masks" / "scores.json").read_text())
    return model, scores["classes"]["building"]


def folders(images, annotations, out):
    """Images and annotations as folders."""
    script("util/polygon_to_mask.py", images, annotations, "--out", out,
           "--overwrite")  # fmt: skip
    return out


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


def picture(images, drafts, corrected, path):
    """Draw predicted and corrected polygons of four tiles beside each other."""
    figure = Figure((10, 5.3), layout="constrained")
    axes = figure.subplots(2, 4)
    files = sorted(corrected.glob("*.json"), key=lambda p: -p.stat().st_size)
    for file, (left, right) in zip(
        spread(files[: len(files) // 2], 4), axes.reshape(-1, 2), strict=True
    ):
        (image,) = images.glob(f"{file.stem}.*")
        for axis, source, colour, title in (
            (left, drafts / file.name, DRAFT, "as predicted"),
            (right, file, CORRECTED, "corrected"),
        ):
            axis.imshow(read_image(image))
            axis.set_axis_off()
            axis.set_title(title, fontsize=8)
            for shape in json.loads(source.read_text())["shapes"]:
                line = np.array([*shape["points"], shape["points"][0]])
                axis.plot(
                    *line.T, ".-", color=np.array(colour) / 255, linewidth=1,
                    markersize=2,
                )  # fmt: skip
    save_figure(figure, path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("source", type=Path, help="directory with images/ and annotations/")
    add("--index", type=Path, help="default: SOURCE/index.csv")
    add("--area", default="banepa", help="banepa or aoi1")
    add("--first", type=int, default=100)
    add("--more", type=int, default=50)
    add("--out", type=Path, help="default: runs/loop_AREA")
    args, options = parser.parse_known_args()
    index = args.index or args.source / "index.csv"
    first, more, test = choose(index, args.area, args.first, args.more)
    out = args.out or Path("runs") / f"loop_{args.area}"
    names = first + test
    images = lay_out(args.source, names, "images", out / "images")
    texts = lay_out(args.source, names, "annotations", out / "texts")
    sides = out / "tests.csv"
    tests = pd.DataFrame({"name": test, "split": "test"})
    tests.to_csv(sides, index=False)
    annotated = folders(images, texts, out / "folders")
    model, before = train([annotated], sides, out / "first", options)

    unseen = lay_out(args.source, more, "images", out / "unseen")
    script("test/test.py", unseen, "--model", model, "--out", out / "drafts",
           "--annotations", "labelme", "--overwrite")  # fmt: skip
    drafts = out / "drafts" / "annotations"
    corrected = out / "drafts" / "corrected"
    effort = np.zeros(3, int)
    shutil.rmtree(corrected, ignore_errors=True)
    for name in more:
        path = args.source / "annotations" / f"{name}.txt"
        truth = read_article_text(path)[name]
        effort += correct(drafts / f"{name}.json", truth, corrected)
    picture(unseen, drafts, corrected, out / "loop.png")

    added = folders(unseen, corrected, out / "added")
    trees = [annotated, added]
    _, after = train(trees, sides, out / "second", options)
    left, deleted, drawn = effort
    print(
        f"{len(more)} tiles: {left} predicted polygons left alone, {deleted} "
        f"deleted, {drawn} drawn ({left / (left + drawn):.0%} of all "
        "buildings needed no hand)"
    )
    for tiles, scores in ((len(first), before), (len(first + more), after)):
        low, high = scores["iou_interval"]
        print(
            f"trained on {tiles} tiles: building IoU {scores['iou']:.3f} "
            f"(95 %: {low:.3f} to {high:.3f}), object F1 "
            f"{scores['object_f1']:.3f}"
        )


if __name__ == "__main__":
    main()
