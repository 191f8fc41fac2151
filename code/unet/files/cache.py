"""Where arrays are kept that were made once."""

import os
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

from unet.files.errors import Notice


def cache_directory():
    """Where arrays are kept: ``$UNET_CACHE``, else ``~/.cache/unet``.

    A user without a home of his own, as in a container that runs under any
    number, gets a directory among the temporary ones, and a ``Notice``.
    """
    if os.environ.get("UNET_CACHE"):
        return Path(os.environ["UNET_CACHE"]).expanduser()
    try:
        place = Path("~/.cache/unet").expanduser()
        place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.W_OK | os.X_OK):
            return place
    except (OSError, RuntimeError):
        pass  # not to be written, or nobody knows where it is
    return _temporary()


@lru_cache
def _temporary():
    """The user's own directory among the temporary ones; told once."""
    user = os.getuid() if hasattr(os, "getuid") else "cache"
    place = Path(tempfile.gettempdir()) / f"unet-{user}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        state = place.lstat()
        if place.is_symlink() or state.st_uid not in (user, 0):
            raise PermissionError  # made by somebody else
    except OSError:
        place = Path(tempfile.mkdtemp(prefix="unet-"))
    # Without a home it would tell of a place of its own, in two lines.
    os.environ.setdefault("MPLCONFIGDIR", str(place / "matplotlib"))
    warnings.warn(
        f"there is no home to keep arrays in, they go to {place}; "
        "UNET_CACHE names another place",
        Notice,
        stacklevel=1,
    )
    return place
