"""Every option that a message names exists in the script that prints it.

A message that names scripts, as in "check.py --fix OUT", speaks of their
options. Any other is printed by the script itself or by every script that
imports the function, within functions and by way of other modules too.
"""

import ast
import re
from functools import cache

from conftest import CODE, run_script

SCRIPTS = {
    path.name: path
    for room in ("util", "train", "test")
    for path in sorted((CODE / room).glob("*.py"))
}
LIBRARY = {
    ".".join(path.relative_to(CODE).with_suffix("").parts): path
    for path in sorted((CODE / "unet").glob("*/*.py"))
}
# Not the start of one whose end is a value: --no-{name}.
OPTION = re.compile(r"--[a-z][a-z-]*[a-z](?![a-z_-])")
WHOLE = "*"
# What ``Rules.advice`` adds is said by the scripts with options of reading.
READERS = "polygon_to_mask.py tile.py check.py grabcut.py "


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path):
    """(module, name in it, or WHOLE) of every import of our library."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                if f"{node.module}.{name.name}" in LIBRARY:
                    yield f"{node.module}.{name.name}", WHOLE
                elif node.module in LIBRARY:
                    yield node.module, name.name


@cache
def reach_of(script):
    """What of each module a script imports: dict from path to names."""
    reach, waiting = {}, [script]
    while waiting:
        for module, name in imports_of(waiting.pop()):
            path = LIBRARY[module]
            if path not in reach:
                waiting.append(path)
            reach.setdefault(path, set()).add(name)
    for path, names in reach.items():
        before = None
        while before != names:  # and what these call in their module
            before = set(names)
            for node in tree_of(path).body:
                if getattr(node, "name", "") in before | {""}:
                    inner = ast.walk(node)
                    names |= {n.id for n in inner if isinstance(n, ast.Name)}
    return reach


def printers_of(path, definition):
    """Names of the scripts that may print what a definition says."""
    for name, script in SCRIPTS.items():
        names = reach_of(script).get(path)
        # What stands in no function is said by whoever imports the module.
        if path == script or (
            names and (not definition or names & {WHOLE, definition})
        ):
            yield name


def texts_of(node):
    """Every text in a tree but docstrings; "_" stands for a value."""
    if isinstance(node, ast.JoinedStr):
        parts = [getattr(part, "value", None) for part in node.values]
        yield "".join(p if isinstance(p, str) else "_" for p in parts)
    elif isinstance(node, ast.Constant):
        yield str(node.value)
    elif getattr(getattr(node, "func", None), "attr", "") == "advice":
        yield from (READERS + argument.value for argument in node.args)
    elif not (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ):
        for child in ast.iter_child_nodes(node):
            yield from texts_of(child)


def messages():
    """(place, scripts, option) of every option in a text."""
    for path in [*SCRIPTS.values(), *LIBRARY.values()]:
        for node in tree_of(path).body:
            definition = getattr(node, "name", "")
            printers = list(printers_of(path, definition))
            for text in texts_of(node):
                if OPTION.fullmatch(text):
                    continue  # a definition, or a word of a command
                named = set(re.findall(r"\w+\.py\b", text)) & SCRIPTS.keys()
                for option in OPTION.findall(text):
                    place = f"{path.relative_to(CODE)} {definition}"
                    yield place, sorted(named) or printers, option


def test_every_option_in_a_message_exists_where_it_is_printed(tmp_path):
    options = {
        name: {"--help", *OPTION.findall(usage.split("\n\n")[0])}
        for name, path in SCRIPTS.items()
        for usage in [run_script(path, "--help", cwd=tmp_path).stdout]
    }
    collected = list(messages())
    assert ("files/atomic.py refuse_existing", "--overwrite") in {
        (place.removeprefix("unet/"), option) for place, _, option in collected
    }
    wrong = [
        f"{place} names {option}, which {script} does not have"
        for place, scripts, option in collected
        for script in scripts
        if option not in options[script]
    ]
    assert wrong == []
