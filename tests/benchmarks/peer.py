"""Our network beside segmentation_models.pytorch's U-Net, in one run.

Both learn from the same arrays, with the same division into training and
validation, the same augmentation and as many epochs, and keep the epoch whose
validation IoU is best. The peer has the ResNet-34 encoder without pretrained
weights, binary cross-entropy and Dice, AdamW and a one-cycle schedule. Words
that are unknown here are options of our training. Printed are the scores on
the test folders, the weights, the time of training and the speed of
prediction.

    pip install -r tests/benchmarks/peer-requirements.txt
    python tests/benchmarks/peer.py runs/buildings/data --epochs 20
"""

import argparse
import copy
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import segmentation_models_pytorch as smp
import torch

from unet.files import splits
from unet.files.folders import find_samples
from unet.files.splits import group_names
from unet.geometry.masks import to_ids
from unet.network.model import load
from unet.prediction.stream import predict_labelled
from unet.scoring.counts import confusion, iou
from unet.scoring.scores import Scores
from unet.terminal import cli
from unet.training import dataset, fitting
from unet.training.augmentation import Augmentation
from unet.training.batches import Batches

TRAIN = Path(__file__).resolve().parents[2] / "code" / "train"
CLASSES = ["building"]
SIZE = 128
BATCH = 16
REPEATS = 5


class Peer:
    """The peer with the interface that predictions need of a network."""

    input_shape = (None, SIZE, SIZE, 3)

    def __init__(self, mean, variance):
        network = smp.Unet("resnet34", encoder_weights=None, classes=1)
        self.network = network.to(memory_format=torch.channels_last)
        self.mean, self.spread = (
            torch.tensor(mean),
            torch.tensor(variance) ** 0.5,
        )

    def logits(self, images):
        """Of uint8, n x H x W x 3: a tensor, n x 1 x H x W."""
        inputs = (torch.from_numpy(images) / 255 - self.mean) / self.spread
        return self.network(inputs.permute(0, 3, 1, 2))

    def predict_on_batch(self, images):
        self.network.eval()
        with torch.no_grad():
            found = torch.sigmoid(self.logits(images))
        return found.permute(0, 2, 3, 1).numpy()

    def weights(self):
        return sum(one.numel() for one in self.network.parameters())


def validation_iou(peer, data, rows):
    counts = 0
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        for found, truth in zip(
            peer.predict_on_batch(data.X[part]), data.Y[part], strict=True
        ):
            counts = counts + confusion(truth, to_ids(found, 0.5), 2, 2)
    return iou(counts)[1]


def train_peer(data, fit_rows, validation_rows, args):
    """Train the peer; it has the weights of its best epoch in the end."""
    torch.manual_seed(args.seed)
    peer = Peer(*fitting.channel_statistics(data.X, fit_rows))
    augment = None
    if args.augment != "none":
        augment = Augmentation(args.augment)
    batches = Batches(data.X, data.Y, fit_rows, BATCH, args.seed, augment)
    optimizer = torch.optim.AdamW(peer.network.parameters())
    steps = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-3, total_steps=args.epochs * len(batches)
    )
    bce = smp.losses.SoftBCEWithLogitsLoss()
    dice = smp.losses.DiceLoss("binary")
    best, kept = -1.0, None
    for epoch in range(args.epochs):
        peer.network.train()
        for index in range(len(batches)):
            X, Y = batches[index]
            truth = torch.from_numpy(Y).permute(0, 3, 1, 2).float()
            logits = peer.logits(X)
            loss = bce(logits, truth) + dice(logits, truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps.step()
        batches.on_epoch_end()
        score = validation_iou(peer, data, validation_rows)
        print(f"  epoch {epoch + 1}: validation IoU {score:.4f}", flush=True)
        if score > best:
            best, kept = score, copy.deepcopy(peer.network.state_dict())
    peer.network.load_state_dict(kept)
    return peer


def train_ours(args, options, run):
    words = [args.data, "--augment", args.augment, "--epochs", args.epochs,
             "--size", SIZE, "--seed", args.seed, "--out", run,
             "--model", run / "model.keras", "--quiet", *options]  # fmt: skip
    command = [sys.executable, TRAIN / "train_unet.py", *words]
    subprocess.run([str(word) for word in command], check=True)
    return load(run / "unet.keras")


def scores_of(network, samples):
    counted = Scores(CLASSES)
    for name, truth, strip in predict_labelled(network, samples, CLASSES):
        counted.add(name, truth.ids, strip.ids, strip.probability)
    return counted.summary()


def speeds(networks, X):
    """Images a second of each network, timed in turn."""
    batch = np.array(X[:BATCH])
    times = {name: [] for name in networks}
    for _ in range(REPEATS + 1):
        for name, network in networks.items():
            start = time.perf_counter()
            network.predict_on_batch(batch)
            times[name].append(time.perf_counter() - start)
    # The first one traces our graph.
    return {name: BATCH / np.median(all_[1:]) for name, all_ in times.items()}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("data", type=Path, help="with train/ and test/")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--augment", default="flips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/peer"))
    args, options = parser.parse_known_args()
    train_root, test_root = splits.find_sides(args.data)
    samples = dataset.labelled(find_samples(train_root), train_root)
    test = dataset.labelled(find_samples(test_root), test_root)
    progress = cli.progress_bar(quiet=False)
    data = dataset.load(samples, (SIZE, SIZE), CLASSES, progress)
    groups = group_names(data.names, splits.recorded_groups(args.data))
    rows = splits.split_validation(
        groups, 0.1, data.has_object(), data.traits()
    )

    start = time.monotonic()
    ours = train_ours(args, options, args.out / f"ours_{args.seed}")
    middle = time.monotonic()
    peer = train_peer(data, *rows, args)
    minutes = {
        "ours": (middle - start) / 60,
        "peer": (time.monotonic() - middle) / 60,
    }
    networks = {"ours": ours, "peer": peer}
    weights = {"ours": fitting.count_weights(ours), "peer": peer.weights()}
    fast = speeds(networks, data.X)
    table = []
    for name, network in networks.items():
        scores = scores_of(network, test)
        building = scores["classes"]["building"]
        low, high = building["iou_interval"]
        table.append(
            {
                "network": name,
                "weights": f"{weights[name]:,}",
                "building IoU": building["iou"],
                "95 %": f"{low:.3f} to {high:.3f}",
                "mean IoU": scores["mean_iou"],
                "minutes": minutes[name],
                "images a second": fast[name],
            }
        )
        path = args.out / f"{name}_{args.seed}.json"
        path.write_text(json.dumps(scores, indent=2) + "\n")
    print(pd.DataFrame(table).set_index("network").round(3).to_string())


if __name__ == "__main__":
    main()
