"""What the fields of a contract may hold: one rule a field."""

from collections.abc import Callable
from dataclasses import dataclass

from unet.files.names import CLASS_NAME, is_class_name, same

_MOST_CLASSES = 254  # their ids have 8 bits, one of them means no data
_DEEPEST = 100


@dataclass(frozen=True)
class Rule:
    """What a value may be.

    Attributes:
        expected: in words.
        holds: function of a value of JSON.
    """

    expected: str
    holds: Callable[[object], bool]


def _number(low, high):
    return Rule(
        f"a number from {low:g} to {high:g}",
        # bool is an int to Python; NaN is in no range.
        lambda value: type(value) in (int, float) and low <= value <= high,
    )


def _count(low, high):
    return Rule(
        f"a whole number from {low} to {high}",
        lambda value: type(value) is int and low <= value <= high,
    )


def _choice(*words):
    return Rule(f"one of {', '.join(words)}", lambda value: value in words)


def _or_none(rule):
    return Rule(
        f"{rule.expected}, or null",
        lambda value: value is None or rule.holds(value),
    )


def _list(rule, low, high):
    many = str(low) if low == high else f"{low} to {high}"
    return Rule(
        f"a list of {many}, each {rule.expected}",
        lambda value: (
            isinstance(value, list)
            and low <= len(value) <= high
            and all(map(rule.holds, value))
        ),
    )


def _by_name(rule):
    return Rule(
        f"an object of names, each with {rule.expected}",
        lambda value: (
            isinstance(value, dict)
            and all(map(_WORD.holds, value))
            and all(map(rule.holds, value.values()))
        ),
    )


def _object(needed, besides):
    """An object that has some fields; what it has besides is plain."""
    return Rule(
        "an object with " + ", ".join(needed),
        lambda value: (
            isinstance(value, dict)
            and all(
                name in value and rule.holds(value[name])
                for name, rule in needed.items()
            )
            and all(
                rule.holds(value[name])
                for name, rule in besides.items()
                if name in value
            )
            and _is_plain(value)
        ),
    )


def _is_plain(value, depth=0):
    """Whether all numbers below are finite, and nothing lies too deep."""
    if isinstance(value, dict | list):
        below = value.values() if isinstance(value, dict) else value
        return depth < _DEEPEST and all(_is_plain(v, depth + 1) for v in below)
    if type(value) in (int, float):
        return _NUMBER.holds(value)
    return True


def _are_classes(names):
    return len({same(name) for name in names}) == len(names)


_NUMBER = _number(-1e15, 1e15)
_SHARE = _number(0, 1)
_YES_OR_NO = Rule("true or false", lambda value: type(value) is bool)
_WORD = Rule(
    "a short text", lambda v: isinstance(v, str) and v.isprintable()
    and len(v) <= 200,
)  # fmt: skip
_TEXT = Rule("a text", lambda v: isinstance(v, str) and len(v) <= 10_000)
_CLASS = Rule(CLASS_NAME, is_class_name)
_NAMES = _list(_CLASS, 1, _MOST_CLASSES)
_CLASSES = Rule(
    f"1 to {_MOST_CLASSES} different names of {CLASS_NAME}",
    lambda value: _NAMES.holds(value) and _are_classes(value),
)
_INTERVAL = _list(_or_none(_NUMBER), 2, 2)
_SCORE = _object(
    {name: _or_none(_SHARE) for name in ("iou", "precision", "recall")},
    {"iou_interval": _INTERVAL},
)
_CONFUSION = _object(
    {
        "labels": _list(_WORD, 1, _MOST_CLASSES + 1),
        "counts": _list(
            _list(_count(0, 10**15), 1, _MOST_CLASSES + 1),
            1,
            _MOST_CLASSES + 1,
        ),
    },
    {},
)
_SUMMARY = _object(
    {"classes": _by_name(_SCORE), "mean_iou": _or_none(_SHARE)},
    {
        "images": _count(0, 10**12),
        "mean_iou_classes": _or_none(_SHARE),
        "mean_iou_classes_interval": _INTERVAL,
        "confusion": _CONFUSION,
    },
)
_EVALUATION = _object(
    {"where": _TEXT, "scale": _number(0, 1e6), "scores": _SUMMARY}, {}
)
_ANYTHING_PLAIN = _object({}, {})
_CONTRAST = _choice("none", "clahe", "stretch")
_FACTOR = _number(1e-6, 1e4)

CONTRACT = {
    "classes": _CLASSES,
    "size": _or_none(_list(_count(1, 2**14), 2, 2)),
    "scale": _or_none(_FACTOR),
    "scales": _or_none(_list(_FACTOR, 2, 2)),
    "resolution": _or_none(_list(_number(1e-6, 1e6), 2, 2)),
    "threshold": _SHARE,
    "best_threshold": _or_none(_SHARE),
    "separation": _by_name(_number(0, 1e4)),
    "data": _or_none(
        _object({"images": _count(0, 10**12), "digest": _WORD}, {})
    ),
    "started_from": _or_none(_ANYTHING_PLAIN),
    "versions": _by_name(_WORD),
    "scores": _or_none(_SUMMARY),
    "scores_at_best_threshold": _or_none(_SUMMARY),
    "notes": _object(
        {},
        {
            "title": _WORD,
            "trained_on": _TEXT,
            "limits": _list(_TEXT, 0, 1000),
            "attribution": _list(_TEXT, 0, 1000),
        },
    ),
    "evaluations": _list(_EVALUATION, 0, 10_000),
}
MOST_BANDS = 16
_BAND = _object(
    {"number": _count(1, 2**16), "description": _or_none(_WORD)}, {}
)
_LIMITS = Rule(
    "two numbers from 0 to 65535, the second one larger",
    lambda value: (
        _list(_number(0, 65535), 2, 2).holds(value) and value[0] < value[1]
    ),
)
PREPROCESSING = {
    "resize": _TEXT,
    "contrast": _CONTRAST,
    "input": _TEXT,
    "mean": _or_none(_list(_NUMBER, 1, MOST_BANDS)),
    "variance": _or_none(_list(_number(0, 1e15), 1, MOST_BANDS)),
    "bands": _or_none(_list(_BAND, 1, MOST_BANDS)),
    "limits": _or_none(_list(_LIMITS, 1, MOST_BANDS)),
}
_WEIGHT = Rule(
    "a number, or balanced",
    lambda value: value == "balanced" or _number(0, 1e15).holds(value),
)
TRAINING = {
    **dict.fromkeys(
        [
            *("augment", "normalisation", "dropout_kind", "activation"),
            *("encoder", "padding", "schedule", "weights", "loss"),
        ],
        _WORD,
    ),
    **dict.fromkeys(["encoder_weights", "freeze", "recipe"], _or_none(_WORD)),
    **dict.fromkeys(["batch_norm", "objects", "mixed_precision"], _YES_OR_NO),
    **dict.fromkeys(
        ["learning_rate", "clip_norm", "weight_decay"], _number(0, 1e15)
    ),
    **dict.fromkeys(
        ["epochs", "batch_size", "warm_up", "patience"], _count(0, 10**12)
    ),
    "size": _count(1, 2**14),
    "validation": _SHARE,
    "images": _or_none(_count(1, 10**12)),
    "bands": _or_none(_WORD),
    "contrast": _CONTRAST,
    "filters": _count(1, 2**14),
    "depth": _count(1, 10),
    "dropout": _list(_SHARE, 1, 100),
    "class_weights": _or_none(_list(_WEIGHT, 1, _MOST_CLASSES + 1)),
    "seed": _count(0, 2**64),
}
