"""Which sizes of images a network can take."""

from unet.files.errors import DataError


def check_size(size, depth=4):
    """Raise DataError if a side cannot be halved ``depth`` times."""
    step = 2**depth
    for side in size:
        if side < step or side % step:
            below = max(side // step, 1) * step
            raise DataError(
                f"size {side}: expected a multiple of {step}, because the "
                f"network halves the image {depth} times. Use {below} or "
                f"{below + step}."
            )


def check_mirror(size, depth):
    """Raise DataError if the maps of the lowest level are single pixels."""
    if min(size) < 2 ** (depth + 1):
        raise DataError(
            f"size {min(size)}: expected at least {2 ** (depth + 1)} with "
            "padding reflect, because a single pixel has no mirror image. Use "
            "a larger size or less depth."
        )
