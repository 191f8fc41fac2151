"""The synthetic scenes: the same each time, and their polygons fit."""

import cv2
import numpy as np

from conftest import assert_refused, run_script
from unet.annotations.article import read_article_text
from unet.imagery.reading import read_image

MAKE = "util/make_sample.py"


def files(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_scenes_depend_on_the_seed_alone(tmp_path):
    for out, seed, scenes in (("a", 3, 3), ("b", 3, 2), ("c", 4, 2)):
        result = run_script(
            MAKE, "--out", out, "--seed", seed, "--scenes", scenes, "--quiet",
            cwd=tmp_path,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
    a, b, c = (files(tmp_path / out) for out in "abc")
    assert len(a) == 6
    assert b.items() <= a.items()
    assert b["images/Folder_1.jpg"] != c["images/Folder_1.jpg"]


def test_polygons_lie_on_what_looks_unlike_the_ground(tmp_path):
    run_script(
        MAKE, "--out", "s", "--scenes", 12, "--quiet", cwd=tmp_path
    ).check_returncode()
    contrasts = []
    for path in sorted((tmp_path / "s" / "images").iterdir()):
        image = read_image(path).astype(float)
        assert image.shape == (128, 128, 3)
        text = tmp_path / "s" / "annotations" / f"{path.stem}.txt"
        annotation = read_article_text(text)[path.stem]
        assert not annotation.repairs
        gradient = np.hypot(
            cv2.Sobel(image, cv2.CV_64F, 1, 0),
            cv2.Sobel(image, cv2.CV_64F, 0, 1),
        ).max(axis=2)
        for instance in annotation.instances:
            mask = instance.mask((128, 128)).astype(np.uint8)
            edge = cv2.dilate(mask, None) - cv2.erode(mask, None)
            contrasts.append(gradient[edge > 0].mean() / gradient.mean())
    assert len(contrasts) > 30
    assert np.median(contrasts) > 1.3


def test_bad_input_is_told(tmp_path):
    assert_refused(run_script(MAKE, "--scenes", 0, cwd=tmp_path), "scenes")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear")
    result = run_script(MAKE, "--out", "used", "--scenes", 1, cwd=tmp_path)
    assert_refused(result, "used", "exists")
    result = run_script(
        MAKE, "--out", "used", "--scenes", 1, "--overwrite", cwd=tmp_path
    )
    assert_refused(result, "letter.txt", "lost")
