"""How fast the article's network trains and predicts, beside PyTorch.

Every row is a process of its own, and all rows take turns, round by round, so
that a machine that is busier for a while is busier for all. Printed are the
medians over the rounds in images a second, and the ratio to the first row.
The bound is the processor's own matrix product: one image takes 1.5 GFLOP to
predict and three times as many to train. At last a scene is predicted with
windows of the network's own size that overlap by half, and as by default. Or
the network of --recipe best, with Keras' own batch normalisation and as it is.

    pip install -r tests/benchmarks/peer-requirements.txt
    python tests/benchmarks/speed.py
    python tests/benchmarks/speed.py --recipe best --batches 8
    python tests/benchmarks/speed.py --scene ../shared/data/scene/banepa.tif
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tqdm import tqdm

SIDE, PREDICTED = 128, 16
GFLOP = 1.5  # of one image of 128 x 128, multiplications and additions
FITTED = 1024  # images of an epoch of ``fit``
SECONDS = 4  # that each measurement lasts, at least
# Row -> (environment, what runs in the process).
ROWS = {
    "TensorFlow without oneDNN": ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "keras"),
    "as it is now": ({}, "keras"),
    "with XLA": ({}, "xla"),
    "--mixed-precision": ({}, "mixed"),
    "PyTorch, channels last": ({}, "torch"),
    "PyTorch, compiled": ({}, "compiled"),
    "bound: matrix product": ({}, "bound"),
}
GPU_ROWS = {
    "as it is now": ({}, "fit"),
    "eight steps in one call": ({}, "together"),
    "--mixed-precision": ({}, "half"),
    "PyTorch, channels last": ({}, "torch"),
    "PyTorch, autocast, compiled": ({}, "autocast"),
}
BEST_ROWS = {
    "Keras' own batch normalisation": ({}, "unfused"),
    "as it is now": ({}, "best"),
    "--mixed-precision": ({}, "best half"),
}


def rate(step, images):
    """Images a second of a function, after it was warmed up."""
    for _ in range(3):
        step()
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        step()
        count += images
    return count / (time.perf_counter() - begun)


def noise(count, side=SIDE):
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (count, side, side, 3)).astype(np.uint8)
    Y = (rng.random((count, side, side, 1)) > 0.8).astype(np.uint8)
    return X, Y


def keras_rates(batches, xla=False, mixed=False):
    """Images a second of our training and prediction."""
    from unet.network.model import build_unet, for_training
    from unet.training import fitting

    plain = build_unet((SIDE, SIDE), mean=[0.4] * 3, variance=[0.05] * 3)
    rates = {}
    for size in batches:
        model = for_training(plain, fading=True, mixed_precision=mixed)
        optimizer = fitting.optimizer(0.0004, True, 1.0, 0, mixed)
        model.compile(optimizer, "binary_crossentropy", jit_compile=xla)
        X, Y = noise(size)
        rates[f"train {size}"] = rate(partial(model.train_on_batch, X, Y), size)
    plain.compile(jit_compile=xla)
    X, _ = noise(PREDICTED)
    rates["predict"] = rate(lambda: plain.predict_on_batch(X), PREDICTED)
    return rates


def fitted_rates(batches, mixed=False, together=1):
    """Images a second of ``fit``, which sends batches to the card ahead."""
    import numpy as np

    from unet.network.backend import keras
    from unet.network.model import build_unet, for_training
    from unet.training import fitting
    from unet.training.batches import Batches

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.begun = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = time.perf_counter() - self.begun

    plain = build_unet((SIDE, SIDE), mean=[0.4] * 3, variance=[0.05] * 3)
    X, Y = noise(FITTED)
    rates = {}
    for size in batches:
        model = for_training(plain, fading=True, mixed_precision=mixed)
        optimizer = fitting.optimizer(0.0004, True, 1.0, 0, mixed)
        model.compile(
            optimizer, "binary_crossentropy", steps_per_execution=together
        )
        data, clock = Batches(X, Y[..., 0], np.arange(FITTED), size), Clock()
        # The last epoch counts; the first one compiles.
        model.fit(data, epochs=3, shuffle=False, verbose=0, callbacks=[clock])
        rates[f"train {size}"] = FITTED / clock.seconds
    X = X[:PREDICTED]
    rates["predict"] = rate(lambda: plain.predict_on_batch(X), PREDICTED)
    return rates


def best_rates(batches, fused=True, mixed=False):
    """Images a second of the network of --recipe best."""
    from unet.network import losses
    from unet.network.model import any_size, build_unet, for_training
    from unet.network.own_layers import description, made
    from unet.terminal.recipes import BEST
    from unet.training import fitting

    side = BEST["size"]
    names = ("filters", "activation", "dropout_kind", "batch_norm", "encoder")
    network = build_unet(
        (side, side), **{name: BEST[name] for name in names},
        encoder_weights="random", mean=[0.4] * 3, variance=[0.05] * 3,
    )  # fmt: skip
    rates = {}
    for size in batches:
        model = network
        if fused:
            model = for_training(network, mixed_precision=mixed)
        optimizer = fitting.optimizer(
            0.001, True, 1.0, BEST["weight_decay"], mixed
        )
        model.compile(optimizer, losses.loss(BEST["loss"], ["building"]))
        X, Y = noise(size, side)
        rates[f"train {size}"] = rate(partial(model.train_on_batch, X, Y), size)
    model = any_size(network)
    if not fused:
        model = made(description(model), model)
    X, _ = noise(PREDICTED, side)
    rates["predict"] = rate(lambda: model.predict_on_batch(X), PREDICTED)
    return rates


def torch_unet():
    """The article's network in PyTorch: 1,941,105 weights."""
    import torch
    from torch import nn

    class Block(nn.Sequential):
        def __init__(self, before, after, dropout):
            super().__init__(
                nn.Conv2d(before, after, 3, padding=1), nn.ELU(),
                nn.Dropout(dropout),
                nn.Conv2d(after, after, 3, padding=1), nn.ELU(),
            )  # fmt: skip

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths, rates = (16, 32, 64, 128, 256), (0.1, 0.1, 0.2, 0.2, 0.3)
            pairs = zip((3, *widths), widths, rates, strict=False)
            self.down = nn.ModuleList(Block(*pair) for pair in pairs)
            self.rise = nn.ModuleList(
                nn.ConvTranspose2d(2 * n, n, 2, stride=2)
                for n in widths[-2::-1]
            )
            self.up = nn.ModuleList(
                Block(2 * n, n, rate)
                for n, rate in zip(widths[-2::-1], rates[-2::-1], strict=True)
            )
            self.last = nn.Conv2d(16, 1, 1)

        def forward(self, x):
            x = (x.float() / 255 - 0.4) / 0.22
            skips = []
            for block in self.down:
                if skips:
                    x = nn.functional.max_pool2d(x, 2)
                x = block(x)
                skips.append(x)
            for rise, block, skip in zip(
                self.rise, self.up, skips[-2::-1], strict=True
            ):
                x = block(torch.cat([rise(x), skip], 1))
            return self.last(x)

    network = UNet()
    assert sum(p.numel() for p in network.parameters()) == 1_941_105
    return network


def torch_rates(batches, compiled=False, autocast=False):
    """Images a second of the same network in PyTorch."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = torch_unet().to(device, memory_format=torch.channels_last)
    if compiled:
        network = torch.compile(network)
    adam = torch.optim.Adam(network.parameters(), 0.0004)
    loss = torch.nn.BCEWithLogitsLoss()

    def batch(count):
        X, Y = (torch.from_numpy(part) for part in noise(count))
        X = X.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        return X.to(device), Y.permute(0, 3, 1, 2).float().to(device)

    def training_step(X, Y):
        adam.zero_grad()
        with torch.autocast(device, enabled=autocast):
            value = loss(network(X), Y)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
        return value.item()

    rates = {}
    for size in batches:
        X, Y = batch(size)
        network.train()
        rates[f"train {size}"] = rate(partial(training_step, X, Y), size)
    X, _ = batch(PREDICTED)
    network.eval()
    with torch.no_grad(), torch.autocast(device, enabled=autocast):
        rates["predict"] = rate(
            lambda: network(X).sigmoid().float().cpu().numpy(), PREDICTED
        )
    return rates


def bound_rates(batches):
    """Images a second if everything ran like one large matrix product."""
    import numpy as np

    side = 2048
    matrix = np.random.default_rng(0).random((side, side), np.float32)
    products = rate(lambda: matrix @ matrix, 1)
    gflops = products * 2 * side**3 / 1e9
    rates = {f"train {size}": gflops / (3 * GFLOP) for size in batches}
    return {**rates, "predict": gflops / GFLOP}


def measure(what, batches):
    """The rates of one row, in this process."""
    if what in ("torch", "compiled", "autocast"):
        return torch_rates(batches, what != "torch", what == "autocast")
    if what in ("fit", "together", "half"):
        return fitted_rates(
            batches, what == "half", 8 if what == "together" else 1
        )
    if what in ("best", "unfused", "best half"):
        return best_rates(batches, what != "unfused", what == "best half")
    if what == "bound":
        return bound_rates(batches)
    return keras_rates(batches, what == "xla", what == "mixed")


def in_own_process(environment, what, batches):
    """The rates of one row; {} if it fails here."""
    command = [sys.executable, __file__, "--measure", what]
    command += ["--batches", *map(str, batches)]
    result = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if result.returncode:
        print(f"{what}: {result.stderr.strip().splitlines()[-1]}")
        return {}
    return json.loads(result.stdout.splitlines()[-1])


def processor():
    """Name and flags of the processor that matter."""
    text = Path("/proc/cpuinfo")
    text = text.read_text() if text.exists() else platform.processor()
    name = re.search(r"model name\s*: (.*)", text)
    flags = re.findall(r"\b(avx2|avx512f|avx512_vnni|avx512_bf16|amx_bf16)\b",
                       text)  # fmt: skip
    return f"{name and name[1]}, {' '.join(sorted(set(flags)))}"


def table(rows, rounds, batches):
    """Print the medians of all rows, and their ratios to the first one."""
    runs = {name: [] for name in rows}
    turns = [name for _ in range(rounds) for name in rows]
    for name in tqdm(turns, unit="row"):
        runs[name].append(in_own_process(*rows[name], batches))
    keys = [*(f"train {size}" for size in batches), "predict"]
    print(f"{'images a second':<28}" + "".join(f"{key:>18}" for key in keys))
    first = None
    for name, rates in runs.items():
        line = f"{name:<28}"
        medians = {}
        for key in keys:
            values = [one[key] for one in rates if key in one]
            medians[key] = statistics.median(values) if values else None
        first = first or medians
        for key in keys:
            value, own = medians[key], first[key]
            text = f"{value:.1f} ({value / own:.2f})" if value and own else "-"
            line += f"{text:>18}"
        print(line, flush=True)


def scene_ratio(path, rounds):
    """Print how many times as fast a scene is seen with large windows."""
    from unet.imagery.rasters import Scene
    from unet.network.contract import read_contract
    from unet.network.model import any_size, load
    from unet.prediction.scaling import scales
    from unet.prediction.scenes import strips
    from unet.prediction.strip import DEFAULTS
    from unet.prediction.windows import Tiling
    from unet.terminal.cli import SHIPPED

    contract, model = read_contract(SHIPPED), any_size(load(SHIPPED))
    times, inside = {0.5: [], None: []}, [0.0]

    def watch(windows, seconds):
        inside[-1] += seconds

    for number in range(rounds + 1):
        for overlap, taken in times.items():
            with Scene(path) as scene:
                resolution = scene.place and scene.place.resolution(scene.shape)
                factors = scales(contract, resolution)
                tiling = Tiling(scene.shape, factors, contract.size, overlap)
                inside.append(0.0)
                begun = time.perf_counter()
                for _ in strips(model, scene, tiling, DEFAULTS, watch=watch):
                    pass
                if number:  # the first round warms up
                    taken.append(time.perf_counter() - begun)
    pairs = zip(times[0.5], times[None], strict=True)
    ratios = sorted(half / now for half, now in pairs)
    print(
        f"{path}: {statistics.median(ratios):.2f} times as fast as with half "
        f"overlap ({ratios[0]:.2f} to {ratios[-1]:.2f}); in the last round "
        f"the network took {inside[-1] / times[None][-1]:.0%} of the time"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--recipe", choices=["best"])
    parser.add_argument("--gpu", action="store_true", help="rows for a GPU")
    parser.add_argument("--scene", type=Path, help="a scene to predict instead")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.batches)))
        return
    print(processor(), flush=True)
    if args.scene:
        scene_ratio(args.scene, args.rounds)
        return
    rows = GPU_ROWS if args.gpu else ROWS
    table(BEST_ROWS if args.recipe else rows, args.rounds, args.batches)


if __name__ == "__main__":
    main()
