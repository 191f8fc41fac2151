"""Nothing that a file contains, and no signal, does harm.

Five parts, each with the figures tried, held and broke. The last one must be
0, or the exit code is 1. The inputs, their damage and the moments of the
signals, as shares of a measured time, are the same for the same --seed.

* files: damaged files through all readers, in one process that is watched.
  Each is accepted, or refused in one line that names it, within a time and a
  memory. Those that are not are kept.
* kills, terminations: scripts end by SIGKILL or SIGTERM at random moments,
  and the same command is given again. The results are those of a run that
  nothing disturbed, byte by byte, and nothing else is left.
* training: trainings end by SIGKILL and are resumed. Their weights are those
  of a training that nothing disturbed.
* together: trainings and predictions at once, on one cache.

Needs tests/requirements.txt and a system with signals.

    python tests/benchmarks/holds.py files --count 100000
    python tests/benchmarks/holds.py kills --count 200
    python tests/benchmarks/holds.py terminations --count 100
    python tests/benchmarks/holds.py training --count 60
    python tests/benchmarks/holds.py together
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# The tests' own files and scripts serve here as well.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from holding import processes, trainings, trials

from unet.files.errors import printable


def files(args, place):
    """(tried, broke) of damaged files."""
    counts, kinds = Counter(), set()
    bounds = trials.Bounds(args.seconds, args.mebibytes)
    for result in trials.results(
        args.count, args.seed, place, args.keep, bounds
    ):
        counts[result.outcome] += 1
        counts["printed"] += bool(result.printed)
        kinds.add(result.kind)
        if result.outcome == trials.BROKE:
            tell(f"file {result.number}, {result.kind}", result.reason)
    print(
        f"{len(kinds)} kinds; {counts['accepted']} accepted, "
        f"{counts['refused']} refused; a library printed lines of its own "
        f"about {counts['printed']}"
    )
    if counts[trials.BROKE]:
        print(f"kept in {args.keep}")
    return args.count, counts[trials.BROKE]


def tell(what, reason):
    reason = printable(" ".join(reason.split()))[:300]
    print(f"broke: {what}: {reason}", flush=True)


def counted(made):
    """(tried, broke) of trials."""
    tried, broke = Counter(), 0
    for trial in made:
        tried[trial.name] += 1
        print(f"{trial.name}, {trial.moment:.2f} s", flush=True)
        if trial.reason:
            broke += 1
            tell(f"{trial.name} after {trial.moment:.2f} s", trial.reason)
    print(", ".join(f"{name} {count}" for name, count in tried.items()))
    return tried.total(), broke


def kills(args, place):
    return counted(
        processes.trials(args.count, signal.SIGKILL, args.seed, place)
    )


def terminations(args, place):
    return counted(
        processes.trials(args.count, signal.SIGTERM, args.seed, place)
    )


def training(args, place):
    return counted(trainings.trials(args.count, args.seed, place))


def together(args, place):
    return counted(trainings.together(args.trainings, args.predictions, place))


PARTS = {
    "files": (files, 100_000),
    "kills": (kills, 200),
    "terminations": (terminations, 100),
    "training": (training, 60),
    "together": (together, None),
}


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    for name, (_, count) in PARTS.items():
        add = parts.add_parser(name).add_argument
        add("--seed", type=int, default=0)
        if count:
            add("--count", type=int, default=count)
        if name == "files":
            add("--seconds", type=float, default=20)
            add("--mebibytes", type=int, default=1024)
            add("--keep", type=Path, default=Path("prepared") / "broke")
        if name == "together":
            add("--trainings", type=int, default=8)
            add("--predictions", type=int, default=4)
    return parser.parse_args()


def main():
    args = read_arguments()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        os.environ["UNET_CACHE"] = str(Path(place) / "cache")
        # Nothing hidden above it, and no link.
        place = Path(place).resolve() / "trials"
        place.mkdir()
        tried, broke = PARTS[args.part][0](args, place)
    minutes = (time.perf_counter() - start) / 60
    print(
        f"{args.part}: tried {tried}, held {tried - broke}, broke {broke} "
        f"({minutes:.1f} minutes)"
    )
    sys.exit(1 if broke else 0)


if __name__ == "__main__":
    main()
