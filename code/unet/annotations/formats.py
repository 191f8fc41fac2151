"""The formats of annotation files: what recognises, reads and writes each.

To add one write its module, with a reader that turns a file's content into
``{image name: Annotation}`` and perhaps a writer, and name them here and
among the options, in ``unet.terminal.reading_options``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unet.annotations.article import (
    ArticleWriter,
    has_objects,
    is_article_text,
    read_article,
)
from unet.annotations.coco import CocoWriter, read_coco
from unet.annotations.colours import read_complete_mask
from unet.annotations.cvat import read_cvat
from unet.annotations.geojson import GeojsonWriter, is_collection, read_geojson
from unet.annotations.labelme import LabelmeWriter, read_labelme
from unet.annotations.tables import read_table
from unet.annotations.via import ViaWriter, is_via, read_via
from unet.files.folders import IMAGE_ENDINGS


@dataclass(frozen=True)
class Format:
    """A kind of annotation file.

    Attributes:
        endings: of its files' names.
        recognises: function of the content (parsed JSON or XML, or else the
            path).
        read: function (content, path, rules) that returns
            ``{image name: Annotation}``; see ``Rules`` of
            ``unet.annotations.annotation``.
    """

    endings: tuple[str, ...]
    recognises: Callable
    read: Callable


JSON_ENDINGS = (".json", ".geojson")
TEXT_ENDINGS = (".txt", ".csv", ".tsv")
FORMATS = {
    "labelme": Format(
        JSON_ENDINGS,
        lambda data: isinstance(data, dict) and "shapes" in data,
        read_labelme,
    ),
    "coco": Format(
        JSON_ENDINGS,
        lambda data: (
            isinstance(data, dict) and {"images", "annotations"} <= set(data)
        ),
        read_coco,
    ),
    "geojson": Format(JSON_ENDINGS, is_collection, read_geojson),
    "via": Format(
        JSON_ENDINGS,
        lambda data: isinstance(data, dict) and is_via(data),
        read_via,
    ),
    "cvat": Format(
        (".xml",), lambda root: root.tag == "annotations", read_cvat
    ),
    "article": Format(
        (*TEXT_ENDINGS, ".json"),
        lambda content: (
            (isinstance(content, list) and not has_objects(content))
            or (isinstance(content, Path) and is_article_text(content))
        ),
        read_article,
    ),
    "table": Format((".csv", ".tsv", ".xlsx"), lambda path: True, read_table),
    "masks": Format(
        IMAGE_ENDINGS,
        lambda path: True,
        lambda path, _, rules: read_complete_mask(path, rules),
    ),
}
WRITERS = {
    "article": ArticleWriter,
    "labelme": LabelmeWriter,
    "coco": CocoWriter,
    "geojson": GeojsonWriter,
    "via": ViaWriter,
}
