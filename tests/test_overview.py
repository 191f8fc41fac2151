"""unet.prediction.overview: pictures of a scene, made while it streams."""

import tracemalloc
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from conftest import blobs, contents, strips
from unet.files.folders import UNKNOWN, Sample
from unet.imagery.georeference import Georeference
from unet.imagery.reading import read_image
from unet.pictures import overlay
from unet.prediction import overview
from unet.prediction.sinks import Judgement, Overlay, Uncertain
from unet.prediction.stream import Source
from unet.prediction.windows import Tiling
from unet.scoring.scores import Scores

CLASSES = ("roof", "road")


def scene(shape, seed=0):
    """(image, ids, probability) of two classes."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    ids = blobs(seed, 3, shape) + blobs(seed + 1, 3, shape) * np.uint8(1)
    return image, ids.astype(np.uint8), rng.dirichlet([1, 1, 1], shape)


class Truth:
    """A truth in memory, as of ``open_truth``."""

    def __init__(self, ids):
        self._ids = ids

    def rows(self, top, height):
        return self._ids[top : top + height], None

    def close(self):
        pass


def sinks_of(shape, truth=None, window=128, place=None):
    """The sinks of a scene's pictures."""
    tiling = Tiling(shape, (1, 1), (window, window), 0)
    sample = Sample("a", Path("a.tif"), None)
    source = Source(sample, tiling, shape, place=place)
    sinks = [Overlay(source, CLASSES), Uncertain(source)]
    if truth is not None:
        sinks.append(Judgement(source, Truth(truth), Scores(CLASSES)))
    return source, sinks


def draw(out, height, image, ids, probability, truth=None, **options):
    """Draw a scene; returns its uncertain places."""
    known = options.pop("known", None)
    source, sinks = sinks_of(ids.shape, truth, **options)
    out.mkdir(exist_ok=True)
    with ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink.opened(source, out))
        for strip in strips(height, ids, probability, image, known):
            for sink in sinks:
                sink.add(strip)
    written = sorted(name for sink in sinks for name in sink.files())
    assert sorted(path.name for path in out.iterdir()) == written
    return sinks[1].uncertain


def test_a_small_scene_is_drawn_like_an_image(tmp_path):
    image, ids, probability = scene((150, 130))
    truth = scene((150, 130), 7)[1]
    draw(tmp_path, 50, image, ids, probability, truth, window=32)
    drawn = read_image(tmp_path / "a_overlay.png")
    assert np.array_equal(drawn, overlay.overlay(image, ids))
    errors = read_image(tmp_path / "a_errors.png")
    assert np.array_equal(errors, overlay.errors(image, truth, ids))


def test_pictures_do_not_depend_on_the_strips(tmp_path, monkeypatch):
    monkeypatch.setattr(overview, "_LARGEST", 40)
    image, ids, probability = scene((150, 130))
    truth = scene((150, 130), 7)[1]
    results = []
    for height in (1, 7, 64, 150):
        out = tmp_path / str(height)
        draw(out, height, image, ids, probability, truth, window=32)
        results.append(contents(out))
    assert len(results[0]) == 3
    assert all(one == results[0] for one in results)


@pytest.mark.parametrize("shape", [(2100, 300), (130, 4100), (2001, 2001)])
def test_pictures_have_at_most_2000_pixels(tmp_path, shape):
    ids = np.zeros(shape, np.uint8)
    ids[: shape[0] // 2] = 1
    image = np.full((*shape, 3), 100, np.uint8)
    probability = np.full((*shape, 3), 1 / 3)
    draw(tmp_path, 999, image, ids, probability)
    drawn = read_image(tmp_path / "a_overlay.png")
    scale = 2000 / max(shape)
    for side, own in zip(shape, drawn.shape, strict=False):
        assert abs(own - side * scale) <= 1
    # The lower half is the image, the upper one is tinted.
    assert (drawn[len(drawn) * 3 // 4 :] == 100).all()
    assert (drawn[: len(drawn) // 4] != 100).any(axis=-1).all()


def test_what_is_smaller_than_a_pixel_still_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(overview, "_LARGEST", 50)
    ids = np.zeros((200, 200), np.uint8)
    ids[81, 41] = 1  # a sixteenth of a pixel
    image = np.zeros((200, 200, 3), np.uint8)
    draw(tmp_path, 33, image, ids, np.full((200, 200, 3), 1 / 3))
    drawn = read_image(tmp_path / "a_overlay.png")
    expected = np.rint(overlay.colour_of(1) * np.float32(16 / 255))
    assert np.array_equal(drawn[20, 10], expected)
    drawn[20, 10] = 0
    assert not drawn.any()


def test_uncertain_places_come_in_order_and_apart(tmp_path):
    shape = (640, 960)
    probability = np.full((*shape, 1), 0.05)
    probability[70:90, 70:90] = 0.5  # 20 x 20 pixels of window (1, 1)
    probability[200:240, 400:440] = 0.5  # the most, in window (3, 6)
    probability[200:240, 460:490] = 0.5  # in window (3, 7), beside it
    probability[620:640, 930:960] = 0.5  # in the corner, window (9, 14)
    ids = np.zeros(shape, np.uint8)
    view = draw(
        tmp_path,
        77,
        np.zeros((*shape, 3), np.uint8),
        ids,
        probability,
        window=64,
        place=Georeference("EPSG:4326", from_origin(85, 28, 1e-5, 1e-5)),
    )
    found = [(place.row, place.column) for place in view.places[:3]]
    assert found == [(192, 384), (576, 896), (64, 64)]
    sure, unsure = 2 * 0.05 * 0.95, 0.5
    share = 1600 / 4096
    assert view.places[0].uncertainty == pytest.approx(
        share * unsure + (1 - share) * sure
    )
    assert view.places[0].image.shape == (64, 64, 3)
    rows, columns = np.array([(p.row, p.column) for p in view.places]).T // 64
    apart = np.maximum(
        abs(rows[:, None] - rows), abs(columns[:, None] - columns)
    )
    np.fill_diagonal(apart, 99)
    assert apart.min() > 1
    assert view.titles()[0] == "row 192, column 384\n27.997760, 85.004160"


def test_what_nobody_knows_is_neither_drawn_nor_uncertain(tmp_path):
    image, ids, probability = scene((128, 128))
    ids[:] = 1
    known = np.zeros((128, 128), bool)
    known[:64, 64:] = True
    truth = np.ones((128, 128), np.uint8)
    truth[:32] = UNKNOWN
    view = draw(
        tmp_path, 20, image, ids, probability, truth, known=known, window=32
    )
    assert all(p.row < 64 and p.column >= 64 for p in view.places)
    drawn = read_image(tmp_path / "a_overlay.png")
    assert np.array_equal(drawn[~known], image[~known])
    errors = read_image(tmp_path / "a_errors.png")
    judged = known & (truth != UNKNOWN)
    assert (errors[judged] == overlay.OUTCOMES[0]).all()
    assert np.array_equal(errors[~known], image[~known] // 3)
    hatched = errors[known & (truth == UNKNOWN)]
    stripes = (hatched == overlay.STRIPE).all(axis=1)
    assert 0.4 < stripes.mean() < 0.6
    unseen = image[known & (truth == UNKNOWN)] // 3
    assert np.array_equal(hatched[~stripes], unseen[~stripes])


def test_a_sure_scene_has_no_uncertain_place(tmp_path):
    ids = np.ones((50, 50), np.uint8)
    image = np.zeros((50, 50, 3), np.uint8)
    probability = np.ones((50, 50, 1))
    view = draw(tmp_path, 50, image, ids, probability, window=16)
    assert view.places == []
    assert (tmp_path / "a_uncertain.png").exists()


def test_a_scene_without_its_end_is_refused(tmp_path):
    image, ids, probability = scene((50, 50))
    source, (sink, _) = sinks_of((60, 50))
    with (
        pytest.raises(ValueError, match="50 of the 60 rows"),
        sink.opened(source, tmp_path),
    ):
        for strip in strips(50, ids, probability, image):
            sink.add(strip)
    assert not list(tmp_path.iterdir())


def test_an_overlay_takes_little_more_than_its_picture():
    size = (1000, 1200)
    picture = overview.Picture(size, 1)
    picture.add(np.full((*size, 3), 90, np.uint8), np.eye(*size, dtype="u1"))
    tracemalloc.start()
    try:
        picture.overlay()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # With the whole picture in fractions it would take 78 million bytes.
    assert most < 40e6
