"""The road from real images and annotations to folders."""

import numpy as np

from conftest import REAL, needs_real_data, run_script
from unet.annotations import read_article_text
from unet.folders import find_samples, read_table
from unet.images import read_image
from unet.masks import read_class_ids


@needs_real_data
def test_900_tiles_become_720_training_and_180_test_folders(tmp_path):
    source = REAL / "buildings"
    result = run_script(
        "util/polygon_to_mask.py", source / "images", source / "annotations",
        source / "masks", "--out", "folders", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "900 images" in result.stdout
    assert "refused" not in result.stderr
    result = run_script(
        "util/split.py", "folders", "--from", source / "index.csv",
        "--link", "--out", "data", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    train = find_samples(tmp_path / "data" / "train")
    test = find_samples(tmp_path / "data" / "test")
    assert (len(train), len(test)) == (720, 180)

    table = read_table(source / "index.csv", ["name", "annotation"])
    kinds = dict(zip(table["name"], table["annotation"], strict=True))
    shares = {"text": [], "mask": []}
    for sample in test:
        image = read_image(sample.image)
        ids = read_class_ids(sample, ["building"], image.shape[:2])
        kind = "text" if kinds[sample.name] == "text" else "mask"
        shares[kind].append(ids.mean())
        if kind == "text":
            path = source / "annotations" / f"{sample.name}.txt"
            annotation = read_article_text(path)[sample.name]
            drawn = [i.mask(ids.shape) for i in annotation.instances]
            assert len(sample.masks.get("building", [])) == len(drawn)
            assert np.array_equal(
                ids > 0, np.any([*drawn, np.zeros_like(ids, bool)], axis=0)
            )
    assert 0.2 < np.mean(shares["text"]) < 0.4
    assert 0.05 < np.mean(shares["mask"]) < 0.2
