"""Variants of a training, several seeds each: a table and two plots."""

import argparse
from pathlib import Path

from unet.terminal import cli, training_options


def read_arguments():
    """What was asked for, and what of it is for every training.

    Returns:
        (arguments, words of train_unet.py's command line without the seed).
    """
    parser = cli.new_parser(
        "The result is a table and two plots of what each change of the "
        "default does on your\ndata: OUT/table.md, OUT/scores.png, "
        "OUT/curves.png, and OUT/runs.csv with every\nfinished run. Stopped "
        "and started again it goes on; started with more variants or\nseeds "
        "it adds them. The options of train_unet.py below are for all "
        "variants, the\ndefault as well.",
        [
            "python code/train/compare.py --vary activation=elu,relu "
            "--vary batch-norm=off,on --seeds 3 --epochs 15",
            "python code/train/compare.py --vary 'dropout=0,0.1 0.2 0.3' "
            "--vary loss=bce,bce+dice --grid",
            "python code/train/compare.py --learning-curve --epochs 15",
        ],
    )
    add_comparison(parser.add_argument)
    training_options.add(parser)
    args = training_options.read(parser)
    if args.images and args.learning_curve:
        parser.error("argument --images: not allowed with --learning-curve")
    ours = vars(training_parser().parse_args([])).keys() - {"seed"}
    common = {name: v for name, v in vars(args).items() if name in ours}
    return args, training_options.words_of(argparse.Namespace(**common), parser)


def add_comparison(add):
    """Add what is to be compared, and where to."""
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
        metavar="OPTION=A,B,...",
        help="values of an option of train_unet.py, tried one at a time "
        "beside the default; spaces divide several words of a value, on and "
        "off are for switches; can be given again",
    )
    add(
        "--grid",
        action="store_true",
        help="try every combination of the values, not one at a time; with "
        "--learning-curve each has a curve of its own",
    )
    add(
        "--learning-curve",
        action="store_true",
        help="train on 32, 64, 128 ... images, up to all there are, and draw "
        "OUT/learning_curve.png",
    )
    add(
        "--seeds",
        type=cli.number(int, 1),
        default=1,
        help="number of runs of each variant; their seeds are --seed, "
        "--seed + 1, ...",
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
    add("--quiet", action="store_true", help="hide what the trainings print")


def training_parser():
    """The options of train_unet.py that decide about the weights."""
    parser = cli.new_parser("", [])
    training_options.add(parser)
    return parser


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args, common = read_arguments()

import hashlib
import json
import subprocess
import sys
from contextlib import suppress

import pandas as pd

from unet.files import splits
from unet.files.atomic import replacing, write_text
from unet.files.errors import DataError
from unet.files.folders import digest_of_files, find_samples
from unet.files.locks import sole_writer
from unet.network import sizes
from unet.terminal.interruption import Terminated
from unet.training import comparison, dataset

SCRIPT = Path(__file__).with_name("train_unet.py")
IMAGES = (32, 64, 128, 256, 512)  # of a learning curve, and all
# Seconds in which an interrupted training comes to its own end.
PATIENCE = 10


def variants_of(args, common):
    """What is to be trained, each with all its words, and each once.

    Raises:
        DataError: a value is none of train_unet.py's.
    """
    asked = comparison.variants(args.vary or [], args.grid)
    if args.learning_curve:
        asked += comparison.fewer_images(asked if args.grid else [], IMAGES)
    made = {}
    for variant in asked:
        parser = training_parser()
        given = training_options.read(parser, [*common, *variant.words])
        if given.seed != parser.get_default("seed"):
            raise DataError("--vary seed: give --seeds for several seeds.")
        sizes.check_size([given.size], given.depth)
        words = tuple(training_options.words_of(given, parser))
        first = made.setdefault(words, comparison.Variant(variant.name, words))
        if first.name != variant.name:
            print(f"{variant.name}: the same as {first.name}, trained once")
    return list(made.values())


def data_digest(args):
    """A name for the data: runs on other data cannot be compared.

    Raises:
        DataError: there is nothing to train or nothing to compare on.
    """
    train_root, test_root = splits.find_sides(args.data)
    train = dataset.labelled(find_samples(train_root), train_root)
    if test_root is None:
        raise DataError(
            f"{args.data}: expected train/ and test/, found no test images "
            "to compare on. Divide the folders with code/util/split.py."
        )
    test = dataset.labelled(find_samples(test_root), test_root)
    return digest_of_files([train, test])


def finish(variant, seed, data, args):
    """Train one variant with one seed, or what is left of it.

    Returns:
        The line of runs.csv.

    Raises:
        DataError: train_unet.py refused it.
    """
    key = hashlib.sha256(f"{data} {variant.options}".encode()).hexdigest()
    slug = "".join(c if c.isalnum() else "_" for c in variant.name)[:60]
    run = args.out / "runs" / f"{slug}_{key[:8]}_seed_{seed}"
    if not (run / "summary.json").exists():
        # The run's model is left where it is.
        words = [args.data, *variant.words, "--seed", seed, "--out", run,
                 "--model", run / "unet.keras", "--overwrite"]  # fmt: skip
        if (run / "settings.json").exists():
            words = ["--resume", run]
        code = train(words, args.quiet)
        if code in (130, 143):
            raise KeyboardInterrupt if code == 130 else Terminated
        if code:
            raise DataError(
                f"{variant.name}, seed {seed}: train_unet.py ended with "
                f"{code}, see above. Correct the variant, or leave it out; "
                "finished runs are kept."
            )
    summary = json.loads((run / "summary.json").read_text())
    return {
        "variant": variant.name,
        "seed": seed,
        "options": variant.options,
        "data": data,
        **comparison.row_of(summary, pd.read_csv(run / "log.csv"), args.level),
    }


def train(words, quiet):
    """Run train_unet.py; returns its exit code."""
    command = [sys.executable, SCRIPT, *words, *["--quiet"] * quiet]
    with subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.DEVNULL if quiet else None,
    ) as process:
        try:
            return process.wait()
        except KeyboardInterrupt as error:
            # A terminal interrupts both; SIGTERM comes to this one alone.
            if isinstance(error, Terminated):
                process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.terminate()
            raise


def report(runs, args):
    """Write the table and the plots of what has been finished.

    Returns:
        Paths of the plots.
    """
    from unet.training import comparison_plots  # slow to import

    table = comparison.table(runs)
    write_text(args.out / "table.md", comparison.markdown(table))
    plots = {
        "scores.png": comparison_plots.score_plot(runs),
        "curves.png": comparison_plots.curve_plot(runs),
    }
    if args.learning_curve:
        plots["learning_curve.png"] = comparison_plots.learning_plot(runs)
    for name, figure in plots.items():
        # Not by unet.pictures: Keras would wait here for all the trainings.
        with replacing(args.out / name) as temporary:
            figure.savefig(temporary, dpi=120)
    return [args.out / name for name in plots]


def main(args, common):
    data = data_digest(args)
    made = variants_of(args, common)
    with sole_writer(args.out):
        train_all(args, data, made)


def train_all(args, data, made):
    """Train what is left to train, and report."""
    path = args.out / "runs.csv"
    runs = comparison.read_runs(path, args.level)
    comparison.check_runs(runs, path, data, made[0].options)
    seeds = range(args.seed, args.seed + args.seeds)
    with cli.when_interrupted("The same command goes on."):
        while jobs := comparison.jobs_left(made, seeds, runs):
            variant, seed = jobs[0]
            # The training has the same terminal.
            print(
                f"{variant.name}, seed {seed} ({len(jobs)} to go)", flush=True
            )
            row = pd.DataFrame([finish(variant, seed, data, args)])
            runs = pd.concat([runs, row]) if len(runs) else row
            with replacing(path) as temporary:
                runs.to_csv(temporary, index=False)
            report(runs, args)
    plots = report(runs, args)
    for variant in comparison.too_many_images(made, runs):
        print(f"{variant.name}: left out, there are not so many to learn from")
    print(comparison.text(comparison.table(runs)))
    print(f"  table:   {cli.short_path(args.out / 'table.md')}")
    for plot in plots:
        cli.show(plot)


if __name__ == "__main__":
    main(args, common)
