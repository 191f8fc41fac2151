"""The learning rate and the dropout of each epoch."""

import numpy as np
import pytest

from unet.network.backend import keras
from unet.network.own_layers import FadingDropout
from unet.training.callbacks import Fading
from unet.training.schedule import LearningRate


def rates(schedule, warm_up, epochs, values=()):
    rate = LearningRate(0.1, schedule, warm_up, epochs)
    return [rate.at(epoch, values[:epoch]) for epoch in range(epochs)]


def test_constant_is_the_given_rate():
    assert rates("constant", 0, 3) == [0.1] * 3


def test_warm_up_rises_in_equal_steps_before_any_schedule():
    expected = [0.025, 0.05, 0.075]
    for schedule in ("constant", "cosine", "plateau"):
        found = rates(schedule, 3, 6)
        assert found[:4] == pytest.approx([*expected, 0.1])


def test_cosine_falls_from_the_rate_towards_zero():
    found = rates("cosine", 2, 6)
    expected = 0.05 * (1 + np.cos(np.pi * np.arange(4) / 4))
    assert found[2:] == pytest.approx(expected)


def test_plateau_halves_after_two_epochs_without_a_new_best():
    values = [0.3, 0.5, 0.4, 0.5, 0.6, 0.1, 0.2, 0.2, 0.2, 0.9]
    expected = [0.1] * 4 + [0.05] * 3 + [0.025] * 2 + [0.0125]
    assert rates("plateau", 0, 10, values) == pytest.approx(expected)


def test_fading_dropout_really_fades_in_the_compiled_graph():
    """With the truth equal to the input all loss is the dropout's."""
    keras.utils.set_random_seed(0)
    image = keras.Input((50, 50, 4))
    scaled = keras.layers.Dense(
        4, use_bias=False, kernel_initializer="identity"
    )(image)
    model = keras.Model(image, FadingDropout(0.5)(scaled))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    ones = np.ones((8, 50, 50, 4), np.float32)
    log = model.fit(ones, ones, epochs=5, callbacks=[Fading(5)], verbose=0)
    # A value is 1 / (1 - p) with probability 1 - p, else 0: the mean square
    # of the difference from 1 is p / (1 - p).
    p = 0.5 * np.array([1, 0.75, 0.5, 0.25, 0])
    assert log.history["loss"] == pytest.approx(p / (1 - p), abs=0.02)
    assert np.array_equal(model.predict(ones, verbose=0), ones)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fading_dropout_silences_as_many_as_asked_and_each_by_itself(dtype):
    keras.utils.set_random_seed(0)
    layer = FadingDropout(0.1, dtype=dtype)
    ones = np.ones((1, 999, 999, 1), np.float32)  # an odd number
    first, second = (
        keras.ops.convert_to_numpy(
            keras.ops.cast(layer(ones, training=True), "float32")
        ).ravel()
        for _ in range(2)
    )
    assert set(np.unique(first)) == {
        0,
        float(keras.ops.cast(keras.ops.cast(1 / 0.9, dtype), "float32")),
    }
    silent = first == 0
    # Four standard deviations of the share.
    assert silent.mean() == pytest.approx(0.1, abs=0.0012)
    for other in (second[1:] == 0, silent[1:]):
        together = (silent[:-1] & other).mean()
        assert together == pytest.approx(0.01, abs=0.0004)
