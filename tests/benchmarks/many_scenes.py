"""Forty scenes by one worker, by two, and by two of which one is killed.

The scenes are cut from the real one and its mirror images. Printed are
seconds, pixels a second and busy cores, the ratio of two workers to one, and
whether the files are the same, byte by byte, after a worker was killed half
way. Workers are held to as many cores as they are; by itself one would draw on
a second core while its network computes on the first.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import rasterio
from rasterio.windows import Window

from unet.terminal import cli

CODE = Path(__file__).resolve().parents[2] / "code"
# A country, to be told of in hours: square kilometres, metres a pixel.
AREA, PIXEL = 100_000, 0.3


def cut(source, place, count, side):
    """Write scenes of one side, each from another place of the real one."""
    with rasterio.open(source) as raster:
        bands, profile = raster.read(), raster.profile
        place.mkdir()
        for k in range(count):
            # Every fourth place is a new one; between them are mirror images.
            step = 157 * (k // 4)
            top, left = (step % max(1, n - side) for n in bands.shape[1:])
            window = Window(left, top, side, side)
            part = bands[:, top : top + side, left : left + side]
            part = np.pad(
                part,
                [(0, 0), *((0, side - n) for n in part.shape[1:])],
                mode="symmetric",
            )
            part = part[:, :: 1 - 2 * (k % 2), :: 1 - 2 * (k // 2 % 2)]
            profile |= {
                "width": side,
                "height": side,
                "transform": raster.window_transform(window),
            }
            with rasterio.open(place / f"s{k:02}.tif", "w", **profile) as new:
                new.write(part)


def command(scenes, model, out, workers):
    words = [sys.executable, CODE / "test" / "test.py", scenes, "--model",
             model, "--out", out, "--workers", workers]  # fmt: skip
    return list(map(str, words))


def timed(words, cores):
    """Run on some cores to the end: seconds, and how many were busy."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(every)[:cores])
    begun, before = time.monotonic(), _used()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    seconds = time.monotonic() - begun
    os.sched_setaffinity(0, every)
    return seconds, (_used() - before) / seconds


def _used():
    """Seconds of processors that ended processes have used."""
    used = os.times()
    return used.children_user + used.children_system


def finished(out):
    return len(list((out / ".scenes").glob("*.json")))


def killed_half_way(words, out, count):
    """Kill a worker, with SIGKILL, when half of the scenes are done."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        while not out.exists() or finished(out) < count // 2:
            time.sleep(0.1)
            assert process.poll() is None, "it has ended too early"
        below = psutil.Process(process.pid).children(recursive=True)
        holders = {
            int(number)
            for lock in (out / ".scenes").glob("*.lock")
            for number in re.findall(r'"process": (\d+)', lock.read_text())
        }
        victim = next(one.pid for one in below if one.pid in holders)
        os.kill(victim, signal.SIGKILL)
        print(f"killed worker {victim} after {finished(out)} scenes")
    assert process.returncode == 0


def differing(first, second):
    """Names of files that differ between two directories of results."""
    names = {
        path.name
        for out in (first, second)
        for path in out.iterdir()
        if path.is_file() and path.name != "scenes.csv"  # it holds seconds
    }
    return sorted(
        name
        for name in names
        if not (first / name).exists()
        or not (second / name).exists()
        or (first / name).read_bytes() != (second / name).read_bytes()
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="../shared/data")
    parser.add_argument("--model", type=Path, default=cli.SHIPPED)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--side", type=int, default=2000)
    args = parser.parse_args()
    pixels = args.count * args.side**2
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        scenes = place / "scenes"
        cut(args.source / "scene" / "banepa.tif", scenes, args.count, args.side)
        seconds, outs = {}, {}
        for workers in (1, 2):
            outs[workers] = place / f"out_{workers}"
            words = command(scenes, args.model, outs[workers], workers)
            seconds[workers], cores = timed(words, workers)
            print(
                f"{workers} worker(s): {seconds[workers]:.0f} s, "
                f"{pixels / seconds[workers] / 1e6:.3f} million pixels a "
                f"second, {cores:.2f} cores busy",
                flush=True,
            )
        print(f"ratio: {seconds[1] / seconds[2]:.2f}")
        other = differing(outs[1], outs[2])
        print(f"files that differ between one and two workers: {other}")
        out = place / "out_killed"
        words = command(scenes, args.model, out, 2)
        killed_half_way(words, out, args.count)
        print(f"files that differ after a kill: {differing(outs[1], out)}")
        size = sum(p.stat().st_size for p in outs[1].iterdir() if p.is_file())
        country = AREA * 1e6 / PIXEL**2
        hours = country / (pixels / seconds[1]) / 3600
        print(
            f"{AREA:,} km2 at {PIXEL} m: {country:.2e} pixels, {hours:,.0f} "
            f"hours of one worker, {size / pixels * country / 1e9:,.0f} GB of "
            "results"
        )


if __name__ == "__main__":
    main()
