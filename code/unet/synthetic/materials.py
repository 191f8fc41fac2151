"""What drawn scenes are made of, and what kinds of places look like."""

import numpy as np


def palette(text):
    """Colours "rrggbb rrggbb ..." as float32 (n, 3) in 0..1."""
    values = [list(bytes.fromhex(colour)) for colour in text.split()]
    return np.array(values, np.float32) / 255


# Typical colours, two of each material, mixed at random; the pavings are the
# same everywhere.
MATERIALS = ["soil", "grass", "leaves", "asphalt", "concrete"]
LANDS = [
    "b2744e cd9c72 6a733e 8e9052 425a2c 687a40",  # red soil
    "988668 beaa84 7a7a4c a09868 525e36 707446",  # dry
    "807668 a29682 58643c 787a4e 3e502e 5c6a3c",  # grey
    "8c7e68 aca08a 5c743c 829054 3e5c2c 64803e",  # humid
    "767062 968e7e 5e6c4a 80885e 384e38 546646",  # cool
]
PAVED = " 727170 868482 a8a298 bab4a8"
CARS = palette("e1e1e1 3c3e42 961e1e 283c6e aaacaf ebebe6")
RUST, STRAW, CEMENT, GLASS = palette("805038 baa874 b0aca4 202224")
METAL = palette("acb4bc d6d8d6 c0c0bc 966c54 96544e 5a7ca4 68806c 7e6054")
TILE = palette("b46c50 be8666 96604c 825a4c a07c66")
SLATE = palette("626468 7a746e 58524e 86888a")
SCREED = palette("a8a399 c6c1b8 8a857e b09c8e 967466")
# What covers a roof: its colours; the size of a sheet or slab, along and down
# the slope, and how much those differ; how many times longer than wide the
# stains are, and their colour.
COVERS = {
    "metal": (METAL, (0.9, 3), 0.12, 6, RUST),
    "tile": (TILE, (0.5, 0.5), 0.2, 2, 0.6 * TILE[3]),
    "slate": (SLATE, (0.5, 0.5), 0.2, 2, 0.6 * SLATE[2]),
    "concrete": (SCREED, (4, 40), 0.08, 1, 0.7 * SCREED[2]),
}


def table(text):
    """Read a table: {column: {row: number or [low, high]}}."""
    head, *rows = text.strip().splitlines()
    columns = {name: {} for name in head.split()}
    for row in rows:
        label, *cells = row.split()
        for column, cell in zip(columns.values(), cells, strict=True):
            low, *high = (float(part) for part in cell.split("-"))
            column[label] = [low, *high] if high else low
    return columns


# What kinds of places look like. "low-high" is a uniform draw; lengths are
# in metres, trees count per 1000 square metres. The rows of pavings and of
# roofs (form/cover) are weights. "spread" is the reach of a farm around its
# yard. The last two have no buildings: a network must see that, too.
STYLES = table("""
              town     village  suburb   farm     works    open     forest
chance        .25      .24      .20      .10      .05      .12      .04
extent        38-56    38-59    44-64    44-64    51-66    38-64    38-64
grass         .05-.4   .3-.7    .7-.95   .4-.8    .05-.3   .2-.95   .4-.8
fields        0        .25      0        1        0        .6       0
trees         1-5      3-10     3-9      2-6      .5-2     2-16     45-70
cars          5        1        5        2        9        1        0
road          4-7      3-5      5-7      2.5-4    6-9      2-5      2-4
crossing      .7       .3       .4       0        0        0        0
asphalt       1        0        1        0        1        1        0
concrete      1        0        0        0        1        0        0
dirt          1        2        0        1        0        1        0
track         0        1        0        1        0        2        1
share         .26-.38  .12-.25  .16-.28  .09-.16  .25-.35  0-0      0-0
spread        99       99       99       17       99       0        0
frontage      6-11     7-13     9-15     10-20    16-28    0-0      0-0
depth         7-12     6-9      8-11     7-11     12-18    0-0      0-0
shed          2.5-5    2.5-5    2.5-5    3-6      4-8      0-0      0-0
setback       .4-1.5   2-6      3-6      1-3      3-6      0-0      0-0
gap           .5-2     2-6      2-5      1-3      3-6      0-0      0-0
terraced      .5       0        .2       0        0        0        0
walls         .6       .35      .7       0        .3       0        0
flat/concrete 5        1        1        0        3        0        0
gable/metal   3        6        0        5        5        0        0
shed/metal    2        2        0        2        0        0        0
hip/metal     0        3        0        0        0        0        0
gable/tile    0        1        4        2        0        0        0
hip/tile      1        0        4        2        0        0        0
gable/slate   0        0        3        0        0        0        0
hip/slate     0        0        3        0        0        0        0
""")
PAVINGS = ["asphalt", "concrete", "dirt", "track"]
ROOFS = [row for row in STYLES["town"] if "/" in row]
