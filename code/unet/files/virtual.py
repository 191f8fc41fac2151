"""Images that lie in no directory: in an archive, or on a server.

GDAL reads them by paths that begin with /vsi, such as /vsizip/a.zip/b.tif or
/vsis3/bucket/b.tif. Whoever gives such a path has chosen the server; no path
within a file leads there.
"""

from pathlib import Path

# Before the path of an archive on this machine.
_ARCHIVES = ("/vsizip/", "/vsitar/", "/vsi7z/")
_PREFIXES = {
    "s3://": "/vsis3/",
    "gs://": "/vsigs/",
    "az://": "/vsiaz/",
    "https://": "/vsicurl/https://",
    "http://": "/vsicurl/http://",
}


def path_of(text):
    """The path that a user names, as a file or as an address."""
    for scheme, prefix in _PREFIXES.items():
        if text.lower().startswith(scheme):
            return Path(prefix + text[len(scheme) :])
    return Path(text)


def is_virtual(path):
    """Whether GDAL alone can read it."""
    return str(path).startswith("/vsi")


def name_for_gdal(path):
    """A path as GDAL wants it: ``Path`` makes one slash of two."""
    text = str(path)
    for scheme in ("https", "http"):
        if text.startswith(f"/vsicurl/{scheme}:/"):
            rest = text.removeprefix(f"/vsicurl/{scheme}:/").lstrip("/")
            return f"/vsicurl/{scheme}://{rest}"
    for prefix in _ARCHIVES:
        absolute = Path("/" + text.removeprefix(prefix))
        # Without the second slash GDAL looks below the working directory.
        if text.startswith(prefix) and any(
            place.is_file() for place in absolute.parents
        ):
            return f"{prefix}{absolute}"
    return text


def state_of(path):
    """What changes when a file does: (size, time); of others their name."""
    if is_virtual(path):
        return str(path), 0
    state = Path(path).stat()
    return state.st_size, state.st_mtime_ns
