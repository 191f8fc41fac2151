"""Options of a training that belong together."""

from dataclasses import asdict, fields

from unet.network.contract import TrainingSettings

# The article's training, whatever the defaults are.
ARTICLE = {
    name: value
    for name, value in asdict(TrainingSettings()).items()
    if name not in ("images", "freeze", "seed", "recipe")
}
# Each image is its own group: validation at random.
ARTICLE["group"] = "(.+)"
# What scored highest on the real tiles of all that begins from nothing; the
# rest is as by default.
SCRATCH = {
    "size": 192,
    "augment": "geometry",
    "dropout_kind": "none",
    "activation": "swish",
    "batch_norm": True,
    "encoder": "residual",
    "loss": "bce+dice",
    "learning_rate": 0.001,
    "patience": 30,
}
# What scored highest of all: it begins with what ImageNet teaches.
BEST = {
    "size": 256,
    "filters": 8,
    "augment": "all",
    "dropout_kind": "none",
    "activation": "swish",
    "batch_norm": True,
    "encoder": "efficientnet-lite0",
    "loss": "bce+dice",
    "learning_rate": 0.001,
    "weight_decay": 0.01,
    "warm_up": 1,
    "batch_size": 8,
    "epochs": 20,
    "patience": 20,
}
RECIPES = {"article": ARTICLE, "scratch": SCRATCH, "best": BEST}
# What belongs to the network: a model to start from brings it along.
NETWORK = (
    "size",
    "bands",
    "contrast",
    "normalisation",
    "filters",
    "depth",
    "dropout",
    "dropout_kind",
    "activation",
    "batch_norm",
    "encoder",
    "padding",
    "objects",
)
# The order in which compare.py writes options into its table. It stays when
# the help is arranged anew: finished runs are known again by it.
WORD_ORDER = [each.name for each in fields(TrainingSettings)]
WORD_ORDER.insert(WORD_ORDER.index("contrast"), "group")
WORD_ORDER.insert(WORD_ORDER.index("freeze"), "start_from")
