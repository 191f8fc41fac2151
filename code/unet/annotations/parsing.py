"""JSON and XML files, and reasons why they cannot be read."""

import json

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from unet.files.errors import DataError


def parse_json(path):
    try:
        return json.loads(path.read_bytes())  # UTF-8, 16 or 32
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected a JSON file: {shortened(error)}. Export it "
            "again."
        ) from None


def parse_xml(path):
    """The root of an XML file; entity bombs are refused, not expanded.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return ElementTree.parse(path).getroot()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.") from None
    except (
        ElementTree.ParseError,
        DefusedXmlException,
        LookupError,
        ValueError,
    ) as error:
        raise DataError(
            f"{path}: expected an XML file without entities of its own: "
            f"{shortened(error) or type(error).__name__}. Export it again."
        ) from None


def shortened(text):
    """A reason as one line of bounded length."""
    text = " ".join(str(text).split()).rstrip(".")
    return text if len(text) <= 120 else text[:117] + "..."


def quoted(text):
    text = " ".join(text.split())
    return repr(text if len(text) <= 40 else text[:37] + "...")
