"""How much faster a data set loads than it did in the article.

Both ways load the same images and instance masks of 1024 pixels into arrays
of 128 pixels, in one run: the article's loop, in which scikit-image reads and
resizes every instance mask on its own, and ``unet.training.dataset``, the
first time and from its cache. Printed are the ratios.

How fast a PNG mask is decoded depends on who wrote it, so the masks are
written by this project, by Pillow and by OpenCV in turn.

    python tests/benchmarks/loading.py
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage.io import imread
from skimage.transform import resize

from unet.files.folders import find_samples
from unet.imagery.png import write_mask, write_png
from unet.training import dataset

SIDE, SIZE = 1024, (128, 128)


def write_as_we_do(path, mask):
    """Write a mask as polygon_to_mask.py does: by what is not background."""
    left, top, width, height = cv2.boundingRect(mask)
    window = mask[top : top + height, left : left + width] > 0
    write_mask(path, window, top, left, mask.shape)


WRITERS = {
    "this project": write_as_we_do,
    "Pillow": lambda path, mask: Image.fromarray(mask).save(path),
    "OpenCV": lambda path, mask: cv2.imwrite(str(path), mask),
}


def make(root, images, masks, write):
    """Write images with the texture of photos, and their masks."""
    rng = np.random.default_rng(0)
    for number in range(images):
        name = f"Folder_{number}"
        coarse = rng.integers(0, 200, (32, 32, 3)).astype(np.uint8)
        image = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        image += rng.integers(0, 12, image.shape).astype(np.uint8)
        write_png(root / name / "images" / f"{name}.png", image)
        for k in range(masks):
            mask = np.zeros((SIDE, SIDE), np.uint8)
            centre = rng.integers(0, SIDE, 2).tolist()
            sides = rng.integers(40, 160, 2).tolist()
            corners = cv2.boxPoints((centre, sides, rng.uniform(0, 90)))
            cv2.fillPoly(mask, [corners.astype(np.int32)], 255)
            path = root / name / "masks" / f"{name}_mask_{k}.png"
            path.parent.mkdir(exist_ok=True)
            write(path, mask)


def load_as_in_the_article(samples):
    """The article's loop: one image and one instance mask at a time."""
    X = np.zeros((len(samples), *SIZE, 3), np.uint8)
    Y = np.zeros((len(samples), *SIZE, 1), bool)
    for n, sample in enumerate(samples):
        image = imread(sample.image)[:, :, :3]
        X[n] = resize(image, SIZE, mode="constant", preserve_range=True)
        mask = np.zeros((*SIZE, 1), bool)
        for path in sample.masks["building"]:
            one = resize(imread(path), SIZE, mode="constant",
                         preserve_range=True)  # fmt: skip
            mask = np.maximum(mask, one[..., None])
        Y[n] = mask
    return X, Y


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def load(samples):
    return dataset.load(samples, SIZE, ["building"], lambda i, t, title: i)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--masks", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(
        f"{args.images} images of {SIDE} px with {args.masks} masks, "
        f"{os.cpu_count()} cores, median of {args.repeats}"
    )
    for name, write in WRITERS.items():
        first, second = compare(args, write)
        print(f"masks written by {name}: first {first:.1f} x, second "
              f"{second:.0f} x as fast as the article's loop")  # fmt: skip


def compare(args, write):
    """Median ratios of the first and the second load."""
    first, second = [], []
    with tempfile.TemporaryDirectory() as directory:
        make(Path(directory) / "tree", args.images, args.masks, write)
        samples = find_samples(Path(directory) / "tree")
        for repeat in range(args.repeats):
            os.environ["UNET_CACHE"] = f"{directory}/cache_{repeat}"
            old = seconds(load_as_in_the_article, samples)
            first.append(old / seconds(load, samples))
            second.append(old / seconds(load, samples))
    return np.median(first), np.median(second)


if __name__ == "__main__":
    main()
