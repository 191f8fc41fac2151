"""One layer, one table and one score of scenes that were predicted apart."""

import csv
import hashlib
import json
import shutil
from dataclasses import dataclass

import numpy as np
import pyogrio
import shapely
from pyproj import CRS, Transformer

from unet.files import atomic
from unet.files.atomic import replacing, write_text
from unet.files.errors import DataError
from unet.prediction.jobs import pixels_of
from unet.prediction.kept import restore
from unet.prediction.map_layer import quiet_without_crs
from unet.prediction.outputs import SCORES

TABLE, LAYER = "scenes.csv", "objects.gpkg"
# The layers of the GeoPackage: on the ground, and of scenes without a place.
_ON_THE_GROUND, _IN_PIXELS = "objects", "objects_in_pixels"
_BATCH = 10_000  # objects that are copied at once
_MERGED = "merged.state"


@dataclass(frozen=True)
class Merged:
    """What was made of all scenes.

    Attributes:
        summary: of ``unet.scoring.scores.Scores``; None: no truth is known.
        failed: sentences, each naming a scene's file.
        finished: number of scenes.
    """

    summary: dict | None
    failed: list[str]
    finished: int


def refuse_existing(scenes, outputs, overwrite):
    """Raise DataError if results exist that may not be replaced.

    What the same job has made, here or in another process, may be there.

    Args:
        scenes: ``unet.prediction.jobs.WorkList``.
        outputs: ``unet.prediction.outputs.Outputs`` of all scenes.
        overwrite: all may be replaced.
    """
    job = scenes.job
    joined = set(outputs.files())
    for path in joined.intersection(_files(job)):
        raise DataError(
            f"{path}: would be the result of a scene, and of all scenes. "
            "Rename the scene."
        )
    joined.update(_files(job))
    for source in outputs.sources:
        files = [job.out / name for name in outputs.names_of(source)]
        joined -= set(files)
        if not scenes.may_write(source, files):
            atomic.refuse_existing(files, overwrite)
    if not (job.place / _MERGED).exists():
        atomic.refuse_existing(sorted(joined), overwrite)


def _files(job):
    """The files that ``merge`` writes beside those of ``Outputs``."""
    files = [job.out / TABLE]
    return files + [job.out / LAYER] * bool(job.wanted.layer)


def merge(job, outputs, records, facts):
    """Join what was made of each scene.

    Another process of the same job may have done so: then nothing is written.

    Args:
        job: ``unet.prediction.jobs.Job``.
        outputs: ``unet.prediction.outputs.Outputs`` of all scenes.
        records: dict from the name of each scene to its record.
        facts: dict of what ``scores.json`` says of the run.

    Returns:
        ``Merged``.
    """
    finished, failed = [], []
    for source in outputs.sources:
        reason = records[source.name]["failed"]
        if reason:
            failed.append(reason)
        else:
            finished.append(source)
    text = json.dumps([[s.name, records[s.name]] for s in outputs.sources])
    state = hashlib.sha256(text.encode()).hexdigest()
    marker = job.place / _MERGED
    files = _files(job)
    if (
        marker.exists()
        and marker.read_text(encoding="utf-8") == state
        and all(path.exists() for path in files)
    ):
        summary = None
        if (job.out / SCORES).exists():
            text = (job.out / SCORES).read_text(encoding="utf-8")
            summary = json.loads(text)
        return Merged(summary, failed, len(finished))
    for source in finished:
        restore(outputs, source, records[source.name], job.kept(source.name))
    summary = outputs.close(facts) if finished else None
    if job.wanted.layer:
        count = _merge_layers(job, finished)
        outputs.notes.append(f"{LAYER}: {count:,} objects")
    _write_table(job, outputs, records)
    for source in outputs.sources:
        _clean(job, source, records[source.name])
    write_text(marker, state)
    return Merged(summary, failed, len(finished))


def _clean(job, source, record):
    """Remove what was begun; who starts again tries failed scenes again."""
    for path in job.place.glob(f"{_escaped(source.name)}.*.stage"):
        shutil.rmtree(path, ignore_errors=True)
    if record["failed"]:
        job.record_path(source.name).unlink(missing_ok=True)


def _escaped(name):
    return "".join(f"[{sign}]" if sign in "[?*" else sign for sign in name)


def _write_table(job, outputs, records):
    """One row a scene: what became of it, and its scores."""
    images = outputs.scores.images
    scores = dict(zip(outputs.scores.names, images, strict=True))
    heads = ["scene", "image", "pixels", "seconds", "failed"]
    counts = ("tp", "fp", "fn", "iou")
    heads += [f"{c} {k}" for c in job.classes for k in counts if scores]
    with (
        replacing(job.out / TABLE) as path,
        path.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(heads)
        for source in outputs.sources:
            record = records[source.name]
            row = [source.name, source.sample.image, pixels_of(source)]
            row += [record.get("seconds", ""), record["failed"] or ""]
            if source.name in scores:
                row += _score_cells(scores[source.name].counts)
            table.writerow(row + [""] * (len(heads) - len(row)))


def _score_cells(counts):
    """Of each class its pixels found, invented and missed, and its IoU."""
    cells = []
    for k in range(1, len(counts)):
        tp = int(counts[k, k])
        fp = int(counts[:, k].sum()) - tp
        fn = int(counts[k].sum()) - tp
        either = tp + fp + fn
        cells += [tp, fp, fn, round(tp / either, 6) if either else ""]
    return cells


def _merge_layers(job, sources):
    """Copy the objects of all scenes into one GeoPackage; their number."""
    layers = [job.out / f"{s.name}.{job.wanted.layer}" for s in sources]
    total = 0
    with replacing(job.out / LAYER) as path:
        copy = _Copy(path, _common_crs(layers))
        for source, layer in zip(sources, layers, strict=True):
            total += copy.add(layer, source.name)
        if not copy.begun:
            copy.add_nothing()
    return total


def _common_crs(layers):
    """The reference system of all layers that have one; several: degrees.

    Returns:
        ``pyproj.CRS``; None: no layer has one.
    """
    found = []
    for path in layers:
        crs = pyogrio.read_info(path)["crs"]
        crs = crs and CRS.from_user_input(crs)
        # A GeoPackage calls pixels a local grid.
        if crs and crs.geodetic_crs is not None and crs not in found:
            found.append(crs)
    if len(found) > 1:
        return CRS.from_epsg(4326)
    return found[0] if found else None


class _Copy:
    """Appends objects of scenes to the layers of a GeoPackage.

    Args:
        path: of the file.
        crs: ``pyproj.CRS`` of the layer on the ground.
    """

    def __init__(self, path, crs):
        self._path, self._crs, self.begun = path, crs, set()

    def add(self, layer, scene):
        """Copy the objects of one scene, batch by batch; their number."""
        total = 0
        while True:
            meta, _, geometries, columns = pyogrio.raw.read(
                layer, skip_features=total, max_features=_BATCH
            )
            count = len(geometries)
            if count:
                names = meta["fields"].tolist()
                table = dict(zip(names, columns, strict=True))
                self._write(scene, meta["crs"], geometries, table)
            total += count
            if count < _BATCH:
                return total

    def _write(self, scene, crs, geometries, table):
        in_pixels = "area_px" in table
        crs = None if in_pixels else CRS.from_user_input(crs)
        if crs and crs != self._crs:
            move = Transformer.from_crs(crs, self._crs, always_xy=True)
            moved = shapely.transform(
                shapely.from_wkb(geometries), move.transform, interleaved=False
            )
            geometries = shapely.to_wkb(moved)
        scenes = np.full(len(geometries), scene, dtype=object)
        self._append(
            _IN_PIXELS if in_pixels else _ON_THE_GROUND,
            None if in_pixels else self._crs,
            geometries,
            {"scene": scenes, **table},
        )

    def add_nothing(self):
        """Make the layer that no scene has an object for."""
        texts, numbers = np.array([], object), np.array([], float)
        self._append(
            _ON_THE_GROUND,
            self._crs,
            np.array([], object),
            {
                "scene": texts,
                "id": np.array([], int),
                "class": texts,
                "area_m2" if self._crs else "area_px": numbers,
                "probability": numbers,
            },
        )

    def _append(self, layer, crs, geometries, table):
        with quiet_without_crs():
            pyogrio.raw.write(
                self._path,
                geometries,
                list(table.values()),
                list(table),
                layer=layer,
                driver="GPKG",
                geometry_type="Polygon",
                crs=crs and crs.to_wkt(),
                append=layer in self.begun,
            )
        self.begun.add(layer)
