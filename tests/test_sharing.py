"""Scenes by several processes are the scenes by one, whoever is killed."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pyogrio
import pytest
from affine import Affine

from conftest import (
    assert_refused,
    contents,
    killed_at,
    make_tree,
    run_script,
    small_network,
)
from test_scenes import noise, write_scene
from unet.files import leases
from unet.files.atomic import write_text
from unet.files.errors import DataError
from unet.files.folders import collect_samples
from unet.files.virtual import name_for_gdal, path_of
from unet.imagery.png import write_png
from unet.network.contract import Contract
from unet.pictures import figures
from unet.prediction import units, windows, with_dask
from unet.prediction.jobs import Job, WorkList, absolute
from unet.prediction.merging import merge
from unet.prediction.outputs import Outputs, Wanted
from unet.prediction.run import Workplace, run
from unet.prediction.stream import Networks, usable_sources
from unet.prediction.strip import Settings
from unet.prediction.units import work

TEST = "test/test.py"


CONTRACT = Contract(
    ["building"],
    [32, 32],
    scale=0.5,
    resolution=[1.0, 1.0],
    separation={"building": 1},
)


def utm(zone=45, east=0):
    return {
        "crs": f"EPSG:326{zone}",
        "transform": Affine(0.5, 0, 333000 + east, 0, -0.5, 3058000),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with scenes of several sizes."""
    root = tmp_path_factory.mktemp("place")
    (root / "plain.keras").write_text("its digest alone is asked for")
    (root / "in").mkdir()
    for k, shape in enumerate([(300, 200), (120, 400), (90, 90)]):
        path = root / "in" / f"s{k}.tif"
        write_scene(path, noise(*shape, seed=k), **utm(east=500 * k))
    write_png(root / "in" / "photo.png", noise(50, 40))
    return root


@pytest.fixture(scope="module")
def real(place):
    """The same directory with a model, for those who run the script."""
    from unet.network.model import save  # imports Keras

    save(small_network(), place / "m.keras", CONTRACT)
    return place


class Plain:
    """A network without Keras, whose threads no fork survives."""

    input_shape, output_shape = (None, 32, 32, 3), (None, None, None, 1)

    def predict_on_batch(self, batch):
        grey = batch.mean(axis=3, dtype=np.float32)[..., None] / 255
        # What surrounds a pixel counts, as in a network.
        return (grey + np.roll(grey, 3, axis=1) + np.roll(grey, 5, axis=2)) / 3


NETWORKS = Networks(Plain(), Plain(), False)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Dead holders' scenes are free at once, and no scene is given up."""
    monkeypatch.setattr(units, "_networks", lambda *_: NETWORKS)
    monkeypatch.setattr(leases, "NEW", -1)
    # Matplotlib is slow, and none of these tests looks at a figure.
    for name in ("place_grid", "contact_sheet", "confusion_matrix"):
        monkeypatch.setattr(figures, name, lambda *_: None)
    monkeypatch.setattr(
        figures, "save_figure", lambda _, path: write_text(path, "figure")
    )
    # Windows of several rows, even in scenes so small.
    monkeypatch.setattr(windows, "_TOGETHER", 1)
    monkeypatch.setattr(units, "_DEATHS", 10**6)
    monkeypatch.setattr(units, "_PAUSE", 0.01)


def job_of(place, out, paths, most_pixels=2.0**26, **wanted):
    """(``Job``, sources, ``Outputs``) of a prediction in this process."""
    model, settings = place / "plain.keras", Settings(overlap=0.5)
    samples, _ = collect_samples(paths)
    sources, _ = usable_sources(samples, CONTRACT, settings)
    wanted = Wanted(**wanted)
    outputs = Outputs(out, sources, CONTRACT.classes, wanted)
    job = Job(
        out, model, settings, tuple(CONTRACT.classes), wanted,
        shown=frozenset(outputs.shown), most_pixels=most_pixels,
    )  # fmt: skip
    job.place.mkdir(parents=True, exist_ok=True)
    return job, sources, outputs


def joined(job, sources, outputs):
    """What ``merge`` makes when all scenes are done."""
    scenes = WorkList(job, sources)
    assert scenes.is_done
    return merge(job, outputs, scenes.records, {})


def results(out):
    """Bytes of all results, but for GeoPackages, which hold their time, and
    the table, which holds seconds."""
    return {
        name: data
        for name, data in contents(out).items()
        if not name.startswith(".")
        and not name.endswith((".gpkg", "scenes.csv"))
    }


def table(out):
    with (out / "scenes.csv").open(encoding="utf-8", newline="") as file:
        return {row["scene"]: row for row in csv.DictReader(file)}


def test_workers_make_what_one_process_makes(real):
    shutil.copy(real / "in" / "s2.tif", real / "cut.tif")
    data = (real / "in" / "s1.tif").read_bytes()
    (real / "cut.tif").write_bytes(data[: len(data) // 2])
    lines = ["# scenes", "in/s0.tif", "in/s1.tif", "", "in/s2.tif"]
    (real / "few.txt").write_text("\n".join(lines))
    more = [*lines, "cut.tif", "nothing.tif"]
    (real / "list.txt").write_text("\n".join(more))
    words = ["--layer", "geojson", "--model", "m.keras"]
    words += ["--annotations", "labelme"]
    one = run_script(TEST, "few.txt", *words, "--out", "one", cwd=real)
    assert one.returncode == 0, one.stderr
    start = ["list.txt", *words, "--out", "two", "--workers", 2]
    two = run_script(TEST, *start, cwd=real)
    assert two.returncode == 1, two.stderr
    first, second = two.stderr.strip().splitlines()
    assert "refused: list.txt: nothing.tif: expected an image" in first
    assert "refused: cut.tif: the file is truncated or damaged" in second
    # The contact sheet says of how many images it shows some.
    made, expected = results(real / "two"), results(real / "one")
    assert made.pop("contact_sheet.png") and expected.pop("contact_sheet.png")
    assert made == expected
    rows = table(real / "two")
    assert list(rows) == ["s0", "s1", "s2", "cut"]
    assert "truncated" in rows["cut"]["failed"]
    assert rows["s1"]["pixels"] == "48000"
    meta, _, _, fields = pyogrio.raw.read(real / "two" / "objects.gpkg")
    found = dict(zip(meta["fields"].tolist(), fields, strict=True))
    for name in ("s0", "s1", "s2"):
        text = (real / "two" / f"{name}.geojson").read_text()
        ids = [one["properties"]["id"] for one in json.loads(text)["features"]]
        assert found["id"][found["scene"] == name].tolist() == ids
    assert meta["crs"] == "EPSG:32645"
    assert {p.name for p in real.glob("two/.scenes/*")} == {
        *(f"s{k}.{end}" for k in range(3) for end in ("json", "kept")),
        "merge.lock", "merged.state",
    }  # fmt: skip

    # What has failed is tried again, what is finished is not.
    times = {p: p.stat().st_mtime_ns for p in real.glob("two/s*.tif")}
    (real / "cut.tif").write_bytes(data)
    again = run_script(TEST, *start, cwd=real)
    assert again.returncode == 1
    assert "3 scenes were finished before" in again.stdout
    assert len(again.stderr.splitlines()) == 1
    assert times == {p: p.stat().st_mtime_ns for p in times}
    assert table(real / "two")["cut"]["failed"] == ""
    assert (real / "two" / "cut.tif").exists()


def test_results_of_others_are_not_replaced_unless_told(real, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "s2.tif").write_text("mine")
    words = ["in/s2.tif", "--model", "m.keras", "--out", out, "--workers", 1]
    result = run_script(TEST, *words, cwd=real)
    assert_refused(result, "s2.tif", "exists already", "--overwrite")
    assert [path.name for path in out.iterdir()] == ["s2.tif"]
    result = run_script(TEST, *words, "--overwrite", cwd=real)
    assert result.returncode == 0, result.stderr
    result = run_script(TEST, *words, "--threshold", "0.3", cwd=real)
    assert_refused(result, "s2.tif", "exists already", "--overwrite")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--workers", 2, "--adapt", 0.2], "neither --workers nor --dask"),
        (["--dask", "tcp://a:1", "--workers", 2], "which has its own"),
        (["--dask", "in"], "tcp://host:8786, found in"),
    ],
)
def test_options_that_do_not_go_together(place, words, sentence):
    result = run_script(TEST, "in", *words, "--out", "no", cwd=place)
    assert_refused(result, sentence)
    assert not (place / "no").exists()


def test_a_list_is_told_what_is_wrong_with_it(place):
    (place / "empty.txt").write_text("\n# nothing\n")
    (place / "lists.txt").write_text("few.txt\n")
    for name, words in (("empty", "an empty file"), ("lists", "another list")):
        result = run_script(TEST, f"{name}.txt", "--out", "no", cwd=place)
        assert_refused(result, f"{name}.txt", words)


def in_one_process(place, out, paths):
    """``Outputs`` of a prediction without a job."""
    job, sources, outputs = job_of(place, out, paths)
    workplace = Workplace(out, job.model, job.settings)
    run(NETWORKS, sources, job.settings, outputs, workplace, lambda *_: None)
    outputs.close({})
    return outputs


def undisturbed(place, out):
    """The results of one process."""
    in_one_process(
        place, out, [place / "in" / "s0.tif", place / "in" / "photo.png"]
    )
    return results(out)


@pytest.mark.parametrize("most_pixels", [2.0**26, 2.0**14])
def test_killed_at_any_renaming_it_ends_with_the_same_bytes(
    place, tmp_path, most_pixels
):
    expected = undisturbed(place, tmp_path / "whole")
    out = tmp_path / "out"
    paths = [place / "in" / "s0.tif", place / "in" / "photo.png"]

    def share():
        job, sources, _ = job_of(place, out, paths, most_pixels)
        if most_pixels < 2**20:
            assert len(job.parts(sources[0])) > 2
        work(job, sources)

    kills = 0
    while killed_at(1 + kills, share):
        kills += 1
        assert kills < 40
    assert kills > 2
    job, sources, outputs = job_of(place, out, paths, most_pixels)
    joined(job, sources, outputs)
    assert results(out) == expected


def test_two_processes_share_the_parts_of_a_scene(place, tmp_path):
    expected = undisturbed(place, tmp_path / "whole")
    paths = [place / "in" / "s0.tif", place / "in" / "photo.png"]
    job, sources, outputs = job_of(place, tmp_path / "out", paths, 2.0**14)
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                work(job, sources)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    joined(job, sources, outputs)
    assert results(tmp_path / "out") == expected


def test_pixels_are_counted_over_all_scenes(place, tmp_path):
    paths = [place / "in" / f"s{k}.tif" for k in range(2)]
    job, sources, _ = job_of(place, tmp_path / "out", paths, 2.0**14)
    scenes = WorkList(job, sources)
    assert scenes.pixels == 300 * 200 + 120 * 400
    assert scenes.pixels_done() == 0
    unit = scenes.take()
    assert unit.part == (0, unit.part[1])
    units.perform(job, unit, NETWORKS)
    share = unit.part[1] / unit.source.tiling.shape[0]
    assert scenes.pixels_done() == pytest.approx(300 * 200 * share)
    work(job, sources)
    scenes.refresh()
    assert scenes.pixels_done() == scenes.pixels


def test_a_scene_that_kills_its_workers_is_given_up(
    place, tmp_path, monkeypatch
):
    paths = [place / "in" / "s1.tif", place / "in" / "s2.tif"]
    job, sources, outputs = job_of(place, tmp_path / "out", paths)
    monkeypatch.setattr(units, "_DEATHS", 2)
    for _ in range(2):
        child = os.fork()
        if child == 0:
            leases.Leases(job.place).take("s1")
            os._exit(0)
        os.waitpid(child, 0)
    work(job, sources)
    merged = joined(job, sources, outputs)
    (sentence,) = merged.failed
    assert "s1.tif: 2 workers were killed while they predicted it" in sentence
    assert merged.finished == 1
    assert (job.out / "s2.tif").exists()


def test_scores_are_those_of_one_process(place, tmp_path):
    make_tree(tmp_path / "tree", 3, size=40)
    paths = [tmp_path / "tree"]
    in_one_process(place, tmp_path / "one", paths)
    job, sources, outputs = job_of(place, tmp_path / "two", paths)
    work(job, sources)
    merged = joined(job, sources, outputs)
    assert results(tmp_path / "two") == results(tmp_path / "one")
    made = json.loads((tmp_path / "two" / "scores.json").read_text())
    assert made["classes"] == merged.summary["classes"]
    row = table(tmp_path / "two")["Folder_2"]
    name, iou = made["per_image"][1]
    assert name == "Folder_2"
    assert float(row["building iou"]) == pytest.approx(
        iou["building"], abs=1e-6
    )
    # Another process of the same command finds all joined.
    job, sources, outputs = job_of(place, tmp_path / "two", paths)
    assert joined(job, sources, outputs).summary["classes"] == made["classes"]


def test_layers_of_several_systems_are_joined_in_degrees(place, tmp_path):
    paths = []
    for zone in (44, 45):
        path = tmp_path / f"z{zone}.tif"
        paths.append(write_scene(path, noise(120, 90), **utm(zone)))
    write_png(tmp_path / "plain.png", noise(90, 200))
    paths.append(tmp_path / "plain.png")
    job, sources, outputs = job_of(
        place, tmp_path / "out", paths, layer="gpkg"
    )  # fmt: skip
    work(job, sources)
    joined(job, sources, outputs)
    file = tmp_path / "out" / "objects.gpkg"
    layers = pyogrio.list_layers(file)[:, 0].tolist()
    assert sorted(layers) == ["objects", "objects_in_pixels"]
    meta, _, _, fields = pyogrio.raw.read(file, layer="objects")
    assert meta["crs"] == "EPSG:4326"
    scenes = fields[meta["fields"].tolist().index("scene")]
    assert set(scenes) == {"z44", "z45"}
    west, _, east, _ = pyogrio.read_info(file, "objects")["total_bounds"]
    assert 79 < west < 80 and 85 < east < 86
    meta, *_ = pyogrio.raw.read(file, layer="objects_in_pixels")
    assert "area_px" in meta["fields"]


def test_dask_makes_what_workers_make(place, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    # Its worker is this process, whose threads are its own business.
    monkeypatch.setattr(with_dask, "use_one_core", lambda: None)
    expected = undisturbed(place, tmp_path / "whole")
    paths = [place / "in" / "s0.tif", place / "in" / "photo.png"]
    job, sources, outputs = job_of(place, tmp_path / "out", paths, 2.0**14)
    scenes = WorkList(job, sources)
    with distributed.Client(
        processes=False, n_workers=1, threads_per_worker=2,
        dashboard_address=None,
    ) as client:  # fmt: skip
        assert with_dask.workers_of(client) == 1
        tasks = with_dask.Tasks(client, scenes)
        end = time.monotonic() + 60
        while not scenes.is_done and time.monotonic() < end:
            time.sleep(0.05)
            scenes.refresh()
            tasks.look_after()
        tasks.cancel()
    joined(job, sources, outputs)
    assert results(tmp_path / "out") == expected


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(with_dask, "_ANSWER", 0.3)
    with (
        pytest.raises(DataError, match=r"1:9: expected a Dask sched"),
        with_dask.dask_client("tcp://127.0.0.1:9"),
    ):
        pass


def test_paths_for_other_machines_are_absolute(place, monkeypatch):
    monkeypatch.chdir(place)
    make_tree(place / "tree", 1)
    paths = [place / "tree", place / "in" / "s2.tif"]
    paths = [path.relative_to(place) for path in paths]
    job, sources, _ = job_of(place, place / "abs", paths)
    job, sources = absolute(job, sources)
    assert job.model.is_absolute() and job.out.is_absolute()
    for source in sources:
        assert source.sample.image.is_absolute()
        for path in (source.sample.masks or {}).get("building", []):
            assert path.is_absolute()
    assert np.shape(sources) == (2,)


@pytest.fixture
def server(place):
    """The address of a server of the scenes.

    It is another process: GDAL waits for it and lets no thread of ours run.
    """
    words = [sys.executable, "-u", "-m", "http.server", "0"]
    words += ["--bind", "127.0.0.1", "--directory", str(place / "in")]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        port = re.search(r"port (\d+)", process.stdout.readline())[1]
        yield f"http://127.0.0.1:{port}"
        process.kill()


def test_scenes_in_archives_and_on_servers_are_read(place, server, tmp_path):
    archive = shutil.make_archive(tmp_path / "in", "zip", place / "in")
    lines = [f"/vsizip/{archive}/s1.tif", f"{server}/s2.tif"]
    lines.append(f"{server}/absent.tif")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    job, sources, outputs = job_of(
        place, tmp_path / "out", [tmp_path / "list.txt"]
    )
    work(job, sources)
    (failed,) = joined(job, sources, outputs).failed
    assert "absent.tif" in failed
    paths = [place / "in" / "s1.tif", place / "in" / "s2.tif"]
    in_one_process(place, tmp_path / "one", paths)
    for name in ("s1.tif", "s2.tif"):
        expected = (tmp_path / "one" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == expected


def test_an_archive_is_found_by_either_kind_of_path(place, monkeypatch):
    shutil.make_archive(place / "packed", "zip", place / "in")
    monkeypatch.chdir(place)
    absolute = path_of(f"/vsizip/{place}/packed.zip/s1.tif")
    assert name_for_gdal(absolute) == f"/vsizip/{place}/packed.zip/s1.tif"
    relative = path_of("/vsizip/packed.zip/s1.tif")
    assert name_for_gdal(relative) == "/vsizip/packed.zip/s1.tif"


def test_addresses_become_paths_of_gdal():
    for text, path in {
        "s3://a/b.tif": "/vsis3/a/b.tif",
        "https://a.org/b.tif": "/vsicurl/https://a.org/b.tif",
        "in/a.tif": "in/a.tif",
    }.items():
        assert name_for_gdal(path_of(text)) == path
