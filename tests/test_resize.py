"""resize.py: a tree of folders to another size."""

import numpy as np
from PIL import Image

from conftest import assert_refused, contents, run_script, write_sample
from unet.imagery.png import write_png

SCRIPT = "util/resize.py"


def pixels(path):
    with Image.open(path) as file:
        return np.array(file)


def grey(values):
    return np.dstack([np.array(values, np.uint8)] * 3)


def resize(root, *options):
    result = run_script(SCRIPT, "tree", "--out", "new", *options, cwd=root)
    assert result.returncode == 0, result.stderr
    return result


def test_images_are_averaged_and_merged_masks_cut_at_one_half(tmp_path):
    image = grey([[0, 8, 10, 10], [4, 4, 10, 30], [100] * 4, [200] * 4])
    image[0, 0] = [40, 0, 80]
    # New pixels: 2 of 4 by two instances of 1 each, 1 of 4, 3 of 4 by two
    # that overlap, none.
    first, second = np.zeros((2, 4, 4), bool)
    first[0, 0] = second[1, 1] = first[0, 3] = True
    first[2, 0:2] = second[2:4, 1] = True
    write_sample(tmp_path / "tree", "A", image, [first, second])
    write_sample(tmp_path / "tree", "unlabelled", image)
    write_sample(tmp_path / "tree", "nothing", image, [])
    small = np.zeros((4, 4), bool)
    small[3, 3] = True
    write_sample(tmp_path / "tree", "vanishes", image, [small])
    halves = grey([[10] * 4 + [90] * 4] * 2)
    write_sample(tmp_path / "tree", "wide", halves, [halves[..., 0] > 50])
    before = contents(tmp_path)

    result = resize(tmp_path, "--size", "2")

    assert result.stdout == "5 images of 2 x 2 pixels -> new\n"
    new = contents(tmp_path / "new")
    assert sorted(new) == [
        "A/images/A.png",
        "A/masks/A_mask_1.png",
        "nothing/images/nothing.png",
        "unlabelled/images/unlabelled.png",
        "vanishes/images/vanishes.png",
        "wide/images/wide.png",
        "wide/masks/wide_mask_1.png",
    ]
    assert (tmp_path / "new" / "nothing" / "masks").is_dir()
    assert (tmp_path / "new" / "vanishes" / "masks").is_dir()
    assert not (tmp_path / "new" / "unlabelled" / "masks").exists()
    averaged = pixels(tmp_path / "new" / "A" / "images" / "A.png")
    assert averaged.tolist() == [
        [[14, 4, 24], [15, 15, 15]],
        [[150, 150, 150], [150, 150, 150]],
    ]
    mask = pixels(tmp_path / "new" / "A" / "masks" / "A_mask_1.png")
    assert mask.tolist() == [[255, 0], [255, 0]]
    wide = tmp_path / "new" / "wide"
    image = pixels(wide / "images" / "wide.png")
    assert image[..., 0].tolist() == [[10, 90], [10, 90]]
    mask = pixels(wide / "masks" / "wide_mask_1.png")
    assert mask.tolist() == [[0, 255], [0, 255]]
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before


def test_keep_aspect_fills_up_by_reflection(tmp_path):
    wide = np.arange(2 * 6).reshape(2, 6) * 10
    mask = np.zeros((2, 6), bool)
    mask[0, 1:4] = True
    write_sample(tmp_path / "tree", "wide", grey(wide), [mask])
    write_sample(tmp_path / "tree", "tall", grey(wide.T), [mask.T])
    # Twice as large: halved first, to 2 x 6.
    large = np.kron(wide, np.ones((2, 2)))
    write_sample(tmp_path / "tree", "large", grey(large), [])

    resize(tmp_path, "--size", "6", "--keep-aspect")

    def part(name, kind, file):
        array = pixels(tmp_path / "new" / name / kind / file)
        return array[..., 0] if array.ndim == 3 else array

    rows = [1, 0, 0, 1, 1, 0]
    for name, turned in (("wide", False), ("tall", True)):
        image = part(name, "images", f"{name}.png")
        new = part(name, "masks", f"{name}_mask_1.png")
        if turned:
            image, new = image.T, new.T
        np.testing.assert_array_equal(image, wide[rows])
        np.testing.assert_array_equal(new, mask[rows] * 255)
    image = part("large", "images", "large.png")
    np.testing.assert_array_equal(image, wide[rows])


def test_classes_stay_in_their_folders_at_larger_sizes_too(tmp_path):
    road, house = np.zeros((2, 2, 2), bool)
    road[0], house[:, 1] = True, True
    for name, classes in (("A", ["house", "road"]), ("B", ["road"])):
        write_sample(tmp_path / "tree", name, grey([[0, 9], [9, 0]]), [])
        for kind in classes:
            mask = house if kind == "house" else road
            place = tmp_path / "tree" / name / "masks" / kind
            write_png(place / f"{name}_mask_7.png", mask)
    resize(tmp_path, "--size", "4")
    assert sorted(contents(tmp_path / "new")) == [
        "A/images/A.png",
        "A/masks/house/A_mask_1.png",
        "A/masks/road/A_mask_1.png",
        "B/images/B.png",
        "B/masks/road/B_mask_1.png",
        "classes.txt",
    ]
    masks = tmp_path / "new" / "A" / "masks"
    # Where both lie road wins, the later name.
    only_house = np.kron(house & ~road, np.ones((2, 2))) * 255
    np.testing.assert_array_equal(
        pixels(masks / "house" / "A_mask_1.png"), only_house
    )
    all_road = np.kron(road, np.ones((2, 2))) * 255
    np.testing.assert_array_equal(
        pixels(masks / "road" / "A_mask_1.png"), all_road
    )


def test_existing_tree_stays_unless_overwritten(tmp_path):
    write_sample(tmp_path / "tree", "A", grey([[1]]))
    write_sample(tmp_path / "prepared" / "tree_3", "old", grey([[1]]))
    before = contents(tmp_path)
    arguments = SCRIPT, "tree", "--size", "3"
    result = run_script(*arguments, cwd=tmp_path)
    assert_refused(result, "prepared/tree_3", "--overwrite")
    assert contents(tmp_path) == before
    result = run_script(*arguments, "--overwrite", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert list(contents(tmp_path / "prepared")) == ["tree_3/A/images/A.png"]
    new = pixels(tmp_path / "prepared" / "tree_3" / "A" / "images" / "A.png")
    np.testing.assert_array_equal(new, np.ones((3, 3, 3)))


def test_bad_mask_is_named_and_leaves_nothing(tmp_path):
    write_sample(tmp_path / "tree", "A", grey([[1, 2]]), [[[True]]])
    result = run_script(SCRIPT, "tree", "--out", "new", cwd=tmp_path)
    assert_refused(result, "A_mask_1.png", "2 x 1", "1 x 1")
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
