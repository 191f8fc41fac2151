"""The data that come with the project are whole, also after a clone."""

import pandas as pd

from conftest import ROOT
from unet.annotations.article import read_article_text
from unet.files.folders import find_samples

DATA = ROOT / "data"


def test_every_scene_is_a_folder_with_one_mask_per_roof():
    table = pd.read_csv(DATA / "split.csv")
    assert table["split"].value_counts().to_dict() == {"train": 84, "test": 36}
    seen = 0
    for side in ("train", "test"):
        for sample in find_samples(DATA / side):
            text = DATA / "raw" / "annotations" / f"{sample.name}.txt"
            annotation = read_article_text(text)[sample.name]
            assert sample.masks is not None, sample.name
            masks = sample.masks.get("building", [])
            assert len(masks) == len(annotation.instances), sample.name
            seen += 1
    assert seen == len(table)
