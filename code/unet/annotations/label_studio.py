"""Label Studio's JSON: tasks with annotations or predictions."""

import os
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import numpy as np
import shapely

from unet.annotations.annotation import Annotation, image_name
from unet.annotations.parsing import shortened
from unet.annotations.regions import add_regions
from unet.annotations.repairs import Repair
from unet.annotations.writing import Writer, json_text
from unet.files.atomic import write_text
from unet.files.errors import DataError
from unet.files.folders import IMAGE_ENDINGS
from unet.geometry.keyhole import keyhole

# What a task's annotations were called in turn.
_ANNOTATIONS = ("annotations", "completions")
_LOCAL = "/data/local-files/?d="


def is_label_studio(data):
    """Whether parsed JSON is tasks, or those of the short export JSON-MIN."""
    tasks = [data] if isinstance(data, dict) else data
    first = tasks[0] if isinstance(tasks, list) and tasks else None
    if not isinstance(first, dict):
        return False
    keys = {*_ANNOTATIONS, "predictions"}
    whole = isinstance(first.get("data"), dict) and keys & set(first)
    return bool(whole) or _is_short(first)


def _is_short(task):
    return "annotation_id" in task and "data" not in task


def read_label_studio(data, path, rules):
    """Label Studio's exports JSON and JSON-MIN, and tasks with predictions.

    Of several annotations of a task the one saved last is read, or that of
    ``rules.annotator``; cancelled ones are left out. Predictions are read
    where no task has an annotation. A task without either is unlabelled.
    """
    tasks = [data] if isinstance(data, dict) else data
    if _is_short(tasks[0]):
        tasks = _whole(tasks)
    drawn = [_entries(task, *_ANNOTATIONS) for task in tasks]
    _check_annotator(drawn, path, rules)
    if not any(drawn):
        drawn = [_entries(task, "predictions") for task in tasks]
    annotations = {}
    for number, (task, entries) in enumerate(zip(tasks, drawn, strict=True)):
        kept = _of_annotator(entries, rules.annotator)
        if not kept:
            continue
        last = max(reversed(kept), key=_saved)
        # Others relate two shapes to each other.
        results = [one for one in last["result"] if "value" in one]
        place = f"{path}, task {task.get('id', number + 1)}"
        file = _file_of(task, results, place)
        name = image_name(file, path, rules.directories)
        if name in annotations:
            raise DataError(
                f"{path}: lists two tasks of an image called {name}; "
                "annotations are paired by name. Remove one."
            )
        annotation = annotations[name] = Annotation(
            path, file=file.rpartition("/")[2]
        )
        if len(kept) > 1:
            annotation.repairs[Repair.EARLIER] += len(kept) - 1
        try:
            add_regions(annotation, results, place, rules)
        except DataError as error:
            annotation.error = str(error)
    return annotations


# Which annotation of a task ------------------------------------------------


def _whole(records):
    """The tasks of JSON-MIN, one record an annotation, as JSON has them."""
    tasks = {}
    for number, record in enumerate(records):
        number = record.get("id", number)
        empty = {"id": number, "data": record, "annotations": []}
        task = tasks.setdefault(number, empty)
        results = [
            {**value, "from_name": name, "value": value}
            for name, values in record.items()
            for value in (values if isinstance(values, list) else ())
            if isinstance(value, dict)
        ]
        if record["annotation_id"] is not None:
            author = {"completed_by": record.get("annotator")}
            task["annotations"].append({**record, **author, "result": results})
    return list(tasks.values())


def _entries(task, *keys):
    """A task's annotations or predictions that nobody cancelled."""
    entries = next((task[key] for key in keys if task.get(key)), [])
    return [
        entry
        for entry in entries
        if not (entry.get("was_cancelled") or entry.get("skipped"))
    ]


def _of_annotator(entries, annotator):
    if annotator is None:
        return entries
    return [one for one in entries if annotator in _authors(one)]


def _authors(entry):
    """What an annotation's author may be called: number and e-mail."""
    author = entry.get("completed_by")
    if isinstance(author, dict):
        return [str(author[key]) for key in ("email", "id") if key in author]
    return [] if author is None else [str(author)]


def _check_annotator(drawn, path, rules):
    """Refuse an annotator who annotated nothing."""
    authors = [_authors(one) for entries in drawn for one in entries]
    if rules.annotator is None or any(rules.annotator in a for a in authors):
        return
    known = ", ".join(sorted({names[0] for names in authors if names}))
    raise DataError(
        f"{path}: expected annotations of the annotator {rules.annotator}, "
        f"found those of {shortened(known) or 'nobody'}. Correct the number or "
        "e-mail address."
    )


def _saved(entry):
    return str(entry.get("updated_at") or entry.get("created_at") or "")


# Its image -----------------------------------------------------------------


def _file_of(task, results, place):
    """The image file of a task, as its data or its upload call it."""
    data = task["data"]
    shown = [*(result.get("to_name") for result in results), "image"]
    files = {
        key: _path_of(data[key])
        for key in (*shown, *data)
        if isinstance(data.get(key), str)
    }
    named = [*files.values(), str(task.get("file_upload") or "")]
    for file in named:
        if file.lower().endswith(IMAGE_ENDINGS):
            return file
    for key in shown:
        if files.get(key):
            return files[key]
    raise DataError(
        f"{place}: expected the name of an image in its data, found "
        f"{shortened(', '.join(map(str, data))) or 'nothing'}. Export tasks of "
        "single images."
    )


def _path_of(url):
    """The path in a URL, or in the query of one of a local file."""
    if "://" not in url and not url.startswith("/data/"):
        return url.strip().replace("\\", "/")
    parts = urlsplit(url.strip())
    local = parse_qs(parts.query).get("d")
    return (local[0] if local else unquote(parts.path)).replace("\\", "/")


class LabelStudioWriter(Writer):
    """tasks.json of Label Studio, for all images: predictions to import.

    Images are named as files of a local storage, below the directory in which
    the images' directory lies. The names "label" and "image" are those of
    Label Studio's template for polygons.
    """

    def __init__(self, out, classes):
        super().__init__(out, classes)
        self.images, self.tasks = [], []

    def files(self, names):
        return [self.out / "tasks.json"]

    def add(self, annotated):
        regions = [
            (instance, keyhole(part))
            for instance in annotated.instances
            for part in shapely.get_parts(instance.geometry)
        ]
        results = [
            _result(number, instance, ring, annotated.shape)
            for number, (instance, ring) in enumerate(regions, start=1)
        ]
        prediction = {"model_version": "unet", "result": results}
        scores = [one["score"] for one in results if "score" in one]
        if scores:
            prediction["score"] = round(float(np.mean(scores)), 4)
        # A link keeps its own name and place.
        image = os.path.normpath(Path(annotated.image).absolute())
        self.images.append(Path(image))
        self.tasks.append({"data": {}, "predictions": [prediction]})

    def close(self):
        parents = [image.parent for image in self.images]
        root = Path(os.path.commonpath(parents)).parent if parents else None
        for task, image in zip(self.tasks, self.images, strict=True):
            place = image.relative_to(root).as_posix()
            task["data"]["image"] = _LOCAL + quote(place)
        write_text(self.out / "tasks.json", json_text(self.tasks))


def _result(number, instance, ring, shape):
    """A polygon as Label Studio's result."""
    height, width = shape
    points = np.divide(ring, [width, height]) * 100
    score = {}
    if instance.score is not None:
        score["score"] = round(float(instance.score), 4)
    return {
        "id": str(number),
        "type": "polygonlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "points": points.tolist(),
            "closed": True,
            "polygonlabels": [instance.label],
        },
        **score,
    }
