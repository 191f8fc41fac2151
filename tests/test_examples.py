"""The examples in docstrings say what happens."""

import doctest
import importlib

import pytest

from conftest import CODE

LIBRARY = CODE / "unet"
# What shows how arrays and polygons go in and come out.
EXAMPLES = {
    ".".join(path.relative_to(CODE).with_suffix("").parts): path
    for path in sorted(LIBRARY.glob("*/*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name):
    failures, tries = doctest.testmod(importlib.import_module(name))
    assert tries
    assert failures == 0


def test_a_dozen_functions_have_examples():
    finder = doctest.DocTestFinder()
    count = sum(
        bool(example.examples)
        for name in EXAMPLES
        for example in finder.find(importlib.import_module(name))
    )
    assert count >= 12
