"""--tensorboard: a training that can be watched."""

from importlib.util import find_spec

from unet.files.errors import DataError
from unet.terminal.cli import short_path

# Pictures shown, and where in a run's directory TensorBoard reads.
_SHOWN, _PLACE = 8, "tensorboard"


def check(wanted):
    """Raise DataError if TensorBoard is wanted, but not installed."""
    # Its files are written by TensorFlow, whatever Keras computes with.
    for package in ("tensorboard", "tensorflow"):
        if wanted and find_spec(package) is None:
            raise DataError(
                f"--tensorboard: expected the package {package}, found none. "
                f"Install it: pip install {package}"
            )


def callbacks(wanted, run, data, rows, bands):
    """What a training needs beside its own callbacks: a list, mostly empty.

    Args:
        wanted: whether it is watched; says how, if so.
        run: the run's directory.
        data: its ``unet.training.dataset.Dataset``.
        rows: of the validation images.
        bands: ``unet.imagery.bands.Bands`` of the images.
    """
    if not wanted:
        return []
    # All of these are slow to import.
    from unet.files.splits import spread
    from unet.geometry.masks import to_ids
    from unet.pictures import figures
    from unet.training.watching import Watched

    shown = spread(list(rows), _SHOWN)

    def draw(answers):
        examples = [
            figures.Example(
                data.names[row],
                bands.picture(data.X[row]),
                to_ids(answer, 0.5),
                data.Y[row],
            )
            for row, answer in zip(shown, answers, strict=True)
        ]
        return figures.contact_sheet(examples, len(rows))

    print(f"for TensorBoard: {short_path(run / _PLACE)}")
    return [Watched(run / _PLACE, data.X[shown], draw)]
