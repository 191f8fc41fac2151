"""unet.geometry.components: rows in pieces, and objects across them."""

import numpy as np
import pytest

from conftest import blobs
from unet.geometry.components import Components, RowBlocks
from unet.geometry.masks import instances


@pytest.mark.parametrize("height", [1, 3, 7, 25])
def test_bands_do_not_depend_on_the_strips(height):
    rows = np.arange(50).reshape(25, 2)
    bands, found = RowBlocks(4, 25), []
    for top in range(0, 25, height):
        strip = rows[top : top + height].copy()
        for t, parts in bands.add(strip, strip[:, 0]):
            found.append((t, *(part.copy() for part in parts)))
        strip[:] = -1  # whoever made it may use its memory again
    bands.close()
    assert [top for top, _, _ in found] == [0, 4, 8, 12, 16, 20, 24]
    _, *parts = zip(*found, strict=True)
    both = [np.concatenate(part) for part in parts]
    assert np.array_equal(both[0], rows)
    assert np.array_equal(both[1], rows[:, 0])


def test_rows_may_not_lack_nor_be_too_many():
    bands = RowBlocks(4, 10)
    list(bands.add(np.zeros((6, 1))))
    with pytest.raises(ValueError, match="6 of the 10"):
        bands.close()
    with pytest.raises(ValueError, match="more than the 10"):
        list(bands.add(np.zeros((5, 1))))


@pytest.mark.parametrize("height", [1, 7, 64])
@pytest.mark.parametrize("smooth", [0, 0.7, 2])
def test_components_are_those_of_the_whole(height, smooth):
    mask = blobs(1, smooth)
    whole, count = instances(mask)
    components, found, ended = Components(), np.zeros(mask.shape, int), []
    for top in range(0, len(mask), height):
        rows = slice(top, top + height)
        labels, numbers, merged, finished = components.add(mask[rows])
        for old, new in merged.items():
            found[found == old] = new
        found[rows] = numbers[labels]
        ended += finished
        # What is finished has no pixel in the last row.
        assert not finished & set(found[rows][-1].tolist())
    ended += components.close()
    pairs = np.unique(np.stack([whole[mask], found[mask]]), axis=1)
    assert pairs.shape[1] == count == len(np.unique(found[mask]))
    assert sorted(ended) == np.unique(found[mask]).tolist()
    assert not found[~mask].any()


def test_what_was_cut_off_goes_on_as_another():
    components = Components()
    column = np.array([[False, True, False]])
    _, numbers, _, _ = components.add(column)
    components.forget(numbers[1])
    _, others, merged, finished = components.add(column)
    assert others[1] != numbers[1]
    assert not merged and not finished
