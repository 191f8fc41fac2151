"""What people get wrong, and the sentence that each of it deserves."""

import pytest

from conftest import assert_refused, make_tree, run_script


@pytest.mark.parametrize("script", ["polygon_to_mask", "grabcut"])
def test_the_samples_annotations_are_for_the_samples_images(tmp_path, script):
    make_tree(tmp_path, 1)
    result = run_script(
        f"util/{script}.py", "Folder_1/images", "--out", "out", cwd=tmp_path
    )
    assert_refused(
        result, "Folder_1/images: expected annotations behind the images",
        "Give IMAGES ANNOTATIONS",
    )  # fmt: skip
    assert not (tmp_path / "out").exists()
