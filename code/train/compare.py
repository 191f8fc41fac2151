"""Variants of a training, several seeds each: a table and two plots."""

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from unet import cli, comparison, options
from unet.folders import DataError, replacing, write_text

SCRIPT = Path(__file__).with_name("train_unet.py")
IMAGES = (32, 64, 128, 256, 512)  # of a learning curve, and all


def read_arguments():
    parser = cli.new_parser(
        "The result is a table and two plots of what each change of the "
        "default does on your data: OUT/table.md, OUT/scores.png, "
        "OUT/curves.png, and OUT/runs.csv with every finished run. Stopped "
        "and started again it goes on; started with more variants or seeds "
        "it adds them. Every option of train_unet.py that is given is for "
        "all variants.",
        [
            "python code/train/compare.py --vary activation=elu,relu "
            "--vary batch-norm=off,on --seeds 3 --epochs 15",
            "python code/train/compare.py --learning-curve --epochs 15",
        ],
    )
    add = parser.add_argument
    add(
        "data",
        nargs="?",
        type=Path,
        default=cli.DATA,
        help="directory with train/ and test/",
    )
    add(
        "--vary",
        action="append",
        default=[],
        metavar="OPTION=A,B,...",
        help="values of an option of train_unet.py, tried one at a time; "
        "spaces divide several words, on and off are for switches",
    )
    add(
        "--grid",
        action="store_true",
        help="every combination of the values, not one at a time",
    )
    add(
        "--learning-curve",
        action="store_true",
        help="train on 32, 64, 128 ... images and on all",
    )
    add(
        "--seeds",
        type=cli.number(int, 1),
        default=1,
        help="runs of each variant, with the seeds 0, 1, ...",
    )
    add(
        "--level",
        type=cli.number(float, 0, 1),
        default=0.5,
        help="validation IoU whose first epoch is reported",
    )
    add(
        "--out",
        type=Path,
        default=Path("runs") / "compare",
        help="directory of the comparison",
    )
    add("--quiet", action="store_true", help="show no run's own output")
    # Options of a training first: what is left is ours.
    training = training_parser()
    given, words = training.parse_known_args()
    args = parser.parse_args(words)
    return args, options.words_of(given, training)


def training_parser():
    """The options of train_unet.py that decide about the weights."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add(parser)
    return parser


def variants_of(args, common):
    """What is to be trained; train_unet.py's own options are checked first."""
    varied = args.vary
    if args.learning_curve:
        varied = [*varied, "images=" + ",".join(map(str, IMAGES))]
    made = comparison.variants(varied, args.grid)
    for variant in made:
        options.read(training_parser(), [*common, *variant.words])
    return made


def finish(variant, seed, common, args):
    """Train one variant with one seed, or what is left of it.

    Returns:
        The line of runs.csv.

    Raises:
        DataError: train_unet.py refused it.
    """
    slug = "".join(c if c.isalnum() else "_" for c in variant.name)
    run = args.out / "runs" / f"{slug}_seed_{seed}"
    if not (run / "summary.json").exists():
        words = [args.data, *common, *variant.words, "--seed", seed,
                 "--out", run, "--model", run / "model.keras"]  # fmt: skip
        if (run / "settings.json").exists():
            words = ["--resume", run]
        command = [sys.executable, SCRIPT, *words, *["--quiet"] * args.quiet]
        done = subprocess.run([str(word) for word in command], check=False)
        if done.returncode == 130:
            raise KeyboardInterrupt("The same command goes on.")
        if done.returncode:
            raise DataError(
                f"{variant.name}: this variant could not be trained, see "
                "above. Correct it, or leave it out."
            )
    summary = json.loads((run / "summary.json").read_text())
    if not summary["scores"]:
        raise DataError(
            f"{args.data}: expected test images to compare on, found none. "
            "Give a directory with train/ and test/."
        )
    log = pd.read_csv(run / "log.csv")
    return {
        "variant": variant.name,
        "seed": seed,
        "options": " ".join([*common, *variant.words]),
        **comparison.row_of(summary, log, args.level),
    }


def report(runs, args):
    """Write the table and the plots of what has been finished."""
    from unet.pictures import save_figure

    text = comparison.table(runs)
    write_text(args.out / "table.md", text)
    save_figure(comparison.score_plot(runs), args.out / "scores.png")
    save_figure(comparison.curve_plot(runs), args.out / "curves.png")
    if args.learning_curve:
        ours = runs["variant"].str.match(f"images=|{comparison.DEFAULT}$")
        figure = comparison.learning_plot(runs[ours])
        save_figure(figure, args.out / "learning_curve.png")
    return text


def main():
    args, common = read_arguments()
    made = variants_of(args, common)
    table_path = args.out / "runs.csv"
    runs = comparison.read_runs(table_path)
    done = set()
    if len(runs):
        done = set(zip(runs["options"].fillna(""), runs["seed"], strict=True))
    jobs = [
        (variant, seed)
        for seed, variant in itertools.product(range(args.seeds), made)
        if (" ".join([*common, *variant.words]), seed) not in done
    ]
    with cli.when_interrupted("The same command goes on."):
        for number, (variant, seed) in enumerate(jobs, start=1):
            print(f"run {number} of {len(jobs)}: {variant.name}, seed {seed}")
            row = finish(variant, seed, common, args)
            runs = pd.concat([runs, pd.DataFrame([row])], ignore_index=True)
            if runs["digest"].nunique() > 1:
                raise DataError(
                    f"{table_path}: holds runs on other data than "
                    f"{args.data}. Give another --out."
                )
            with replacing(table_path) as temporary:
                runs.to_csv(temporary, index=False)
            report(runs, args)
    print(report(runs, args), end="")
    print(f"{len(runs)} runs -> {cli.short_path(args.out)}")
    cli.show(args.out / "scores.png")


if __name__ == "__main__":
    cli.run(main)
