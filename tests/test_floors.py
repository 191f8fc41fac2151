"""The house: rooms on floors, imports that go down, one talking room."""

import ast

import pytest

from conftest import CODE

LIBRARY = CODE / "unet"
FLOORS = {
    "files": 1,
    "imagery": 2,
    "network": 2,
    "geometry": 3,
    "annotations": 4,
    "training": 4,
    "scoring": 4,
    "pictures": 4,
    "inspection": 5,
    "prediction": 5,
    "synthetic": 5,
    "tiling": 5,
    "terminal": 6,
}
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60


def modules():
    return sorted(LIBRARY.glob("*/*.py"))


def imported(tree):
    """Full names of the modules that a module imports, at any depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def length(function):
    """Lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_every_room_has_a_floor():
    rooms = {path.name for path in LIBRARY.iterdir() if path.is_dir()}
    assert rooms - {"__pycache__"} == set(FLOORS)
    assert [path.name for path in LIBRARY.glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("room", FLOORS)
def test_imports_go_down_never_up_and_never_across(room):
    wrong = []
    for path in (LIBRARY / room).glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for module in imported(tree):
            parts = (module or "").split(".")
            if parts[0] != "unet" or parts[1:2] in ([], [room]):
                continue
            if FLOORS[parts[1]] >= FLOORS[room]:
                wrong.append(f"{room}/{path.name} imports {module}")
    assert wrong == []


def test_only_the_terminal_parses_prints_and_shows_bars():
    wrong = []
    for path in modules():
        if path.parent.name == "terminal":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        wrong += [
            f"{path} imports {module}"
            for module in imported(tree)
            if module and module.split(".")[0] in ("argparse", "tqdm")
        ]
        wrong += [
            f"{path}:{node.lineno} calls print"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ]
    assert wrong == []


def test_files_and_functions_are_short():
    long = []
    for path in modules():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MOST_LINES:
            long.append(f"{path}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = length(node)
                if lines > MOST_LINES_OF_A_FUNCTION:
                    long.append(f"{path}: {node.name} has {lines} lines")
    assert long == []
