"""Land cover in five classes: whole images against tiles, on one other place.

The images of one place are held out. Today's default learns from the other
images as they are, --recipe best from the tiles that tile.py cuts of them.
test.py predicts the held-out images at their full size with every model, and
scores them all in the same way. Options besides those below are those of
compare.py, for all trainings; finished runs and scores are kept.

    python tests/benchmarks/landcover.py ../shared/data/landcover --seeds 3
    python tests/benchmarks/landcover.py ../shared/data/landcover --seeds 3 \\
        --vary class-weights=balanced --vary loss=bce
"""

import argparse
import json
import re
from pathlib import Path

import pandas as pd
from buildings import script

from unet.files.atomic import write_text
from unet.files.folders import find_samples
from unet.training.comparison import markdown

COLOURS = (
    "3C1098=building,8429F6=land,6EC1E4=road,FEDD3A=vegetation,E2A929=water,"
    "9B9B9B=ignore,000000=ignore"
)
PLACE = "^(tile[0-9]+)_"
SCORES = "scores.json"
# Of compare.py: the variant, what its options are, the seed.
RUN = re.compile(r"(.+)_[0-9a-f]{8}_seed_(\d+)")


def linked(source, out, few):
    """The images and masks to use, of each place so many: two directories."""
    taken = {}
    for path in sorted((source / "images").iterdir()):
        taken.setdefault(re.search(PLACE, path.name)[1], []).append(path.stem)
    names = {name for place in taken.values() for name in place[:few]}
    for kind in ("images", "masks"):
        (out / kind).mkdir(parents=True, exist_ok=True)
        for path in (source / kind).iterdir():
            link = out / kind / path.name
            if path.stem in names and not link.exists():
                link.symlink_to(path.resolve())
    return out / "images", out / "masks"


def divide(folders, held_out, out):
    """A tree of images or tiles to train/ and test/, by place."""
    names = [sample.name for sample in find_samples(folders)]
    sides = [
        "test" if re.search(PLACE, name)[1] == held_out else "train"
        for name in names
    ]
    table = out / "sides.csv"
    pd.DataFrame({"name": names, "split": sides}).to_csv(table, index=False)
    script("util/split.py", folders, "--from", table, "--group", PLACE,
           "--link", "--overwrite", "--out", out / "data")  # fmt: skip


def prepare(out, args):
    """Both sets of training images, unless they are there."""
    whole, tiles = out / "whole", out / "tiles"
    if not (tiles / "data").exists():
        images = linked(args.source, out / "source", args.few)
        how = [*images, "--colours", COLOURS, "--overwrite"]
        script("util/polygon_to_mask.py", *how, "--out", whole / "folders")
        script("util/tile.py", *how, "--size", args.size,
               "--out", tiles / "folders")  # fmt: skip
        divide(whole / "folders", args.held_out, whole)
        divide(tiles / "folders", args.held_out, tiles)
    for name in ("whole", "tiles"):
        samples = find_samples(out / name / "data" / "train")
        print(f"{name}: {len(samples)} images to learn from", flush=True)


def scores_of(run, images, out):
    """The scores of a run's model on images of any size."""
    if not (out / SCORES).exists():
        script("test/test.py", images, "--model", run / "unet.keras",
               "--overwrite", "--quiet", "--out", out)  # fmt: skip
    return json.loads((out / SCORES).read_text())


def line_of(scores):
    """What a table shows of one run."""
    classes = scores["classes"]
    low, high = scores["mean_iou_classes_interval"]
    edges = [score["boundary_iou"] for score in classes.values()]
    return {
        "mean IoU": scores["mean_iou_classes"],
        "low": low,
        "high": high,
        **{name: score["iou"] for name, score in classes.items()},
        "boundary IoU": pd.Series(edges, dtype=float).mean(),
    }


def table(lines):
    """One row a training: mean and spread over seeds, as text."""
    rows = []
    for (name, variant), some in lines.groupby(["set", "variant"], sort=False):
        values = some.drop(columns=["set", "variant", "seed", "low", "high"])
        mean, spread = values.mean(), values.std()
        row = {"learns from": name, "variant": variant, "seeds": len(some)}
        for column in values:
            row[column] = f"{mean[column]:.3f}"
            if len(some) > 1:
                row[column] += f" ± {spread[column]:.3f}"
        row["mean IoU, 95 %"] = (
            f"{some['low'].mean():.3f} to {some['high'].mean():.3f}"
        )
        rows.append(row)
    return pd.DataFrame(rows).astype(str)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("source", type=Path, help="../shared/data/landcover")
    add("--held-out", default="tile6", help="place whose images are the test")
    add("--size", type=int, default=256, help="side of tiles and of the input")
    add("--few", type=int, help="so many images of each place, to try it out")
    add("--vary", action="append", default=[], help="on tiles: see compare.py")
    add("--out", type=Path, default=Path("runs/landcover"))
    args, options = parser.parse_known_args()
    out = args.out / f"{args.held_out}_{args.size}_{args.few or 'all'}"
    prepare(out, args)
    best = ["--recipe", "best", "--size", args.size]
    best += [word for text in args.vary for word in ("--vary", text)]
    for name, more in (("whole", []), ("tiles", best)):
        script("train/compare.py", out / name / "data", "--out",
               out / name, *more, *options)  # fmt: skip
    test, lines = out / "whole" / "data" / "test", []
    for name in ("whole", "tiles"):
        finished = (out / name / "runs").glob("*/summary.json")
        for run in sorted(summary.parent for summary in finished):
            variant, seed = RUN.fullmatch(run.name).groups()
            scores = scores_of(run, test, out / "scored" / name / run.name)
            if (name, variant) == ("tiles", "default"):
                variant = "recipe best"
            labels = {"set": name, "variant": variant, "seed": int(seed)}
            lines.append({**labels, **line_of(scores)})
    result = table(pd.DataFrame(lines))
    write_text(out / "table.md", markdown(result))
    print(f"on the images of {args.held_out} at their full size:")
    print(result.to_string(index=False))


if __name__ == "__main__":
    main()
