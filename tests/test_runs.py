"""The directory of a training, and the place of its model."""

from argparse import Namespace

import pytest

from conftest import contents
from unet.files.errors import DataError
from unet.terminal import runs


def start(tmp_path, model, filters=16, dry_run=False):
    args = Namespace(
        model=tmp_path / model, filters=filters, depth=4, dry_run=dry_run,
        resume=None, out=tmp_path / "run",
    )  # fmt: skip
    return runs.start_run(args)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("mymodel", r"mymodel: expected a name that ends in \.keras"),
        ("my.h5", r"Give --model .*my\.h5\.keras\."),
        ("dir.keras", r"dir\.keras: expected a file .* found a directory"),
        ("file/my.keras", r"could not be written there \((Not a|File exists)"),
    ],
)
def test_the_models_place_is_looked_at_before_the_first_epoch(
    tmp_path, model, sentence
):
    (tmp_path / "dir.keras").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=sentence):
        start(tmp_path, model)
    assert not (tmp_path / "run").exists()
    start(tmp_path, model, dry_run=True)


def test_a_model_that_would_not_fit_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"room for a model of about \d+ MB"):
        start(tmp_path, "my.keras", filters=2**20)


def test_one_process_has_a_run(tmp_path):
    run = start(tmp_path, "my.keras")
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock", "settings.json",
    ]  # fmt: skip
    (run / "settings.json").unlink()
    with pytest.raises(DataError, match="another process is writing there"):
        start(tmp_path, "my.keras")


def test_a_model_that_cannot_be_published_is_whole_elsewhere(tmp_path):
    (tmp_path / "run").mkdir()
    source, target = tmp_path / "run" / "unet.keras", tmp_path / "my model"
    source.write_text("weights")
    target.mkdir()
    with pytest.raises(DataError) as refused:
        runs.publish(source, target, True, "run")
    short = runs.short_path(source)
    assert str(refused.value) == (
        f"{target}: the model could not be copied there (Is a directory). "
        f"{short} is whole. Copy it: cp {short} '{target}'"
    )
    assert contents(tmp_path) == {"run/unet.keras": b"weights"}
