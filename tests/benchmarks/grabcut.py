"""How near boxes and rough polygons come to the truth, before and after.

The truth is the polygons of the real tiles; of those only buildings of 100
pixels and more that the tile's border does not cut. Each is drawn as its
upright bounding box, and as a rough polygon: its outline simplified by 0.15
and its corners moved by a normal error of 0.1 (in roots of its area). Both
are tightened by ``unet.geometry.grabcut``, whose numbers were chosen on
training tiles.
IoU with the truth is counted in pixels; "ellipse" is the largest one in the
box, to tell what the image adds from what any rounder shape would.

    python tests/benchmarks/grabcut.py ../shared/data/buildings
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import shapely
from shapely import affinity
from tqdm import tqdm

from unet.annotations.article import read_article_text
from unet.geometry.grabcut import tighten
from unet.geometry.masks import rasterise
from unet.imagery.reading import read_image

LEAST_AREA = 100  # pixels
SIMPLIFIED, MOVED = 0.15, 0.1  # in roots of the area
SIZES = [0, 400, 1000, 2500, 5000, np.inf]  # pixels
FITS = [0, 0.55, 0.7, 0.85, 1]  # IoU


def whole_buildings(source, tile, shape):
    """Truth polygons that are large enough and not cut by the border."""
    path = source / "annotations" / f"{tile}.txt"
    inside = shapely.box(0, 0, shape[1], shape[0])
    for instance in read_article_text(path)[tile].instances:
        truth = instance.geometry
        large = instance.mask(shape).sum() >= LEAST_AREA
        if large and inside.contains_properly(truth.envelope):
            yield truth


def roughly(truth, rng):
    """A polygon as one draws it in a hurry."""
    scale = np.sqrt(truth.area)
    corners = shapely.get_coordinates(truth.simplify(SIMPLIFIED * scale))[:-1]
    moved = corners + rng.normal(0, MOVED * scale, corners.shape)
    return max(
        shapely.get_parts(shapely.make_valid(shapely.Polygon(moved))),
        key=lambda part: part.area,
    )


def ellipse_in(box):
    left, top, right, bottom = box.bounds
    circle = box.centroid.buffer(0.5, quad_segs=32)
    return affinity.scale(circle, right - left, bottom - top)


def measure(source, tiles, seed):
    """One row per building and way to draw it."""
    rng = np.random.default_rng(seed)
    rows = []
    for tile in tqdm(tiles.itertuples(), total=len(tiles)):
        image = read_image(source / "images" / f"{tile.name}.png")
        shape = image.shape[:2]
        for truth in whole_buildings(source, tile.name, shape):
            box = shapely.box(*truth.bounds)
            for drawn, first in (("box", box), ("rough", roughly(truth, rng))):
                found = tighten(image, first)
                shapes = {"before": first, "after": found or first}
                shapes["ellipse"] = ellipse_in(first.envelope)
                row = {"area": tile.area, "drawn": drawn, "kept": found is None}
                rows.append(row | overlaps(truth, shapes, shape))
    return pd.DataFrame(rows)


def overlaps(truth, shapes, shape):
    """Pixels of the truth, and IoU of every shape with it."""
    mask = rasterise(truth, shape)
    row = {"pixels": mask.sum()}
    for name, geometry in shapes.items():
        other = rasterise(geometry, shape)
        row["both", name] = (mask & other).sum()
        row["any", name] = (mask | other).sum()
        row["iou", name] = row["both", name] / row["any", name]
    return row


def summary(rows):
    """IoU of some buildings: mean, median, pooled; shares that gain or not."""
    row = {"buildings": len(rows)}
    for name in ("before", "after"):
        row[f"mean {name}"] = rows["iou", name].mean()
        row[f"median {name}"] = rows["iou", name].median()
        row[f"pooled {name}"] = (
            rows["both", name].sum() / rows["any", name].sum()
        )
    gain = rows["iou", "after"] - rows["iou", "before"]
    row["better"] = (gain > 0).mean()
    row["worse"] = (gain < 0).mean()
    row["kept"] = rows["kept"].mean()
    return pd.Series(row)


def table(rows, by):
    parts = rows.groupby(by, observed=True)
    lines = pd.DataFrame({key: summary(part) for key, part in parts}).T
    return lines.astype({"buildings": int}).round(3).to_string()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the buildings directory")
    parser.add_argument("--split", choices=["train", "test"], default="test")
    parser.add_argument("--seed", type=int, default=0, help="of rough polygons")
    args = parser.parse_args()
    index = pd.read_csv(args.source / "index.csv", dtype=str)
    chosen = (index["split"] == args.split) & (index["annotation"] == "text")
    rows = measure(args.source, index[chosen], args.seed)
    print(f"{chosen.sum()} {args.split} tiles with polygons")
    print(table(rows, "drawn"))
    for drawn, part in rows.groupby("drawn"):
        print(f"\n{drawn}, by area")
        print(table(part, "area"))
        print(f"\n{drawn}, by size in pixels")
        print(table(part, pd.cut(part["pixels"], SIZES)))
        print(f"\n{drawn}, by IoU before")
        print(table(part, pd.cut(part["iou", "before"], FITS)))
    ellipse = rows.loc[rows["drawn"] == "box", [("iou", "ellipse")]]
    print(f"\nellipse in the box: mean IoU {ellipse.mean().item():.3f}")


if __name__ == "__main__":
    main()
