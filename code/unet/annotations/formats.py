"""The formats of annotation files: what recognises, reads and writes each.

To add one write its module, with a reader that turns a file's content into
``{image name: Annotation}`` and perhaps a writer, and name them here. Modules
are imported when a file of theirs is read or written: the options of the
scripts need the names alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from unet.files.folders import IMAGE_ENDINGS


def _lazily(module, name):
    """A function or class of this room whose module is imported late."""

    def call(*arguments):
        function = getattr(import_module(f"unet.annotations.{module}"), name)
        return function(*arguments)

    return call


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
        _lazily("labelme", "read_labelme"),
    ),
    "coco": Format(
        JSON_ENDINGS,
        lambda data: (
            isinstance(data, dict) and {"images", "annotations"} <= set(data)
        ),
        _lazily("coco", "read_coco"),
    ),
    "geojson": Format(
        JSON_ENDINGS,
        _lazily("geojson", "is_collection"),
        _lazily("geojson", "read_geojson"),
    ),
    "label-studio": Format(
        JSON_ENDINGS,
        _lazily("label_studio", "is_label_studio"),
        _lazily("label_studio", "read_label_studio"),
    ),
    "via": Format(
        JSON_ENDINGS,
        _lazily("via", "is_via"),
        _lazily("via", "read_via"),
    ),
    "cvat": Format(
        (".xml",),
        lambda root: root.tag == "annotations",
        _lazily("cvat", "read_cvat"),
    ),
    "voc": Format(
        (".xml",),
        lambda root: root.tag == "annotation",
        _lazily("voc", "read_voc"),
    ),
    "yolo": Format(
        (".txt",),
        _lazily("yolo", "is_yolo"),
        _lazily("yolo", "read_yolo"),
    ),
    "article": Format(
        (*TEXT_ENDINGS, ".json"),
        _lazily("article", "is_article"),
        _lazily("article", "read_article"),
    ),
    "table": Format(
        (*TEXT_ENDINGS, ".xlsx"),
        lambda path: True,
        _lazily("tables", "read_table"),
    ),
    "masks": Format(
        IMAGE_ENDINGS,
        lambda path: True,
        _lazily("colours", "read_complete_mask"),
    ),
}
WRITERS = {
    "article": _lazily("article", "ArticleWriter"),
    "labelme": _lazily("labelme", "LabelmeWriter"),
    "coco": _lazily("coco", "CocoWriter"),
    "geojson": _lazily("geojson", "GeojsonWriter"),
    "via": _lazily("via", "ViaWriter"),
    "cvat": _lazily("cvat", "CvatWriter"),
    "label-studio": _lazily("label_studio", "LabelStudioWriter"),
    "yolo": _lazily("yolo", "YoloWriter"),
}
