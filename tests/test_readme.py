"""The pages tell the truth: commands, options, links, counts, scores."""

import ast
import re
from functools import cache

import pytest

from conftest import CODE, ROOT, run_script
from unet.annotations.formats import FORMATS
from unet.inspection.kinds import KINDS

README = ROOT / "README.md"
BENCHMARKS = ROOT / "tests" / "benchmarks"
UTIL = CODE / "util" / "README.md"
PAGES = [
    README,
    ROOT / "data" / "README.md",
    UTIL,
    CODE / "train" / "README.md",
    CODE / "test" / "README.md",
    CODE / "test" / "MODEL.md",
    ROOT / "tests" / "README.md",
    BENCHMARKS / "README.md",
]
SCRIPTS = sorted(
    str(path.relative_to(CODE))
    for room in ("util", "train", "test")
    for path in (CODE / room).glob("*.py")
)
OPTION = r"(?<![\w-])--[a-z][a-z0-9-]*"
MOST_LINES = 170


def text_of(path):
    return path.read_text(encoding="utf-8")


def name_of(path):
    return str(path.relative_to(ROOT))


def code_in(page):
    """Lines of the page's code blocks, and its code spans, one line each."""
    blocks = re.findall(r"^```\n(.*?)^```$", text_of(page), re.S | re.M)
    prose = re.sub(r"^```\n.*?^```$", "", text_of(page), flags=re.S | re.M)
    spans = re.findall(r"`([^`]+)`", prose)
    lines = [line for block in blocks for line in block.splitlines()]
    return lines + [" ".join(span.split()) for span in spans]


def commands(pattern):
    """(path, arguments) of every command that runs a Python file."""
    return sorted(
        {
            match
            for page in PAGES
            for line in code_in(page)
            for match in re.findall(rf"python ({pattern})([^&|]*)", line)
        }
    )


@cache
def options_of_script(script):
    """All options in a script's help."""
    result = run_script(script, "--help", cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return set(re.findall(OPTION, result.stdout))


@cache
def options_of_benchmark(script):
    """All options of a benchmark, whose imports may not be installed.

    One that parses known options alone passes the others on to a training or
    to compare.py.
    """
    found = {"--help"}
    for node in ast.walk(ast.parse(text_of(ROOT / script))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        if name in ("add_argument", "add") and node.args:
            word = getattr(node.args[0], "value", None)
            if isinstance(word, str) and word.startswith("--"):
                found.add(word)
        if name == "parse_known_args":
            found |= options_of_script("train/compare.py")
            found |= options_of_script("train/train_unet.py")
    return found


def slug(heading):
    """The anchor that a heading gets."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.strip().replace(" ", "-")


def test_the_two_commands_are_one_line_each():
    lines = text_of(README).splitlines()
    both = [line for line in lines if line.startswith("python3 -m venv")]
    assert len(both) == 2
    assert both[0].endswith(
        "python code/train/train_unet.py && python code/test/test.py"
    )
    assert both[1].endswith("python -m pytest")
    # .ci/run takes the first line that names it.
    assert next(line for line in lines if "pytest" in line) == both[1]


def test_readme_is_one_page():
    assert len(text_of(README).splitlines()) <= MOST_LINES


def test_commands_are_found_in_blocks_and_in_sentences():
    scripts = {script for script, _ in commands(r"code/[\w/]+\.py")}
    assert {"code/util/check.py", "code/train/compare.py"} <= scripts
    scripts = {script for script, _ in commands(r"tests/[\w/]+\.py")}
    assert scripts == {name_of(path) for path in BENCHMARKS.glob("*.py")}


@pytest.mark.parametrize(("script", "arguments"), commands(r"code/[\w/]+\.py"))
def test_options_of_scripts_are_known(script, arguments):
    assert (ROOT / script).is_file()
    known = options_of_script(script.removeprefix("code/"))
    assert set(re.findall(OPTION, arguments)) <= known


@pytest.mark.parametrize(("script", "arguments"), commands(r"tests/[\w/]+\.py"))
def test_options_of_benchmarks_are_known(script, arguments):
    assert (ROOT / script).is_file()
    known = options_of_benchmark(script)
    assert set(re.findall(OPTION, arguments)) <= known


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_named_in_sentences_exist(page):
    known = set().union(*map(options_of_script, SCRIPTS))
    for span in code_in(page):
        if span.startswith("--"):
            assert set(re.findall(OPTION, span)) <= known, span


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_on_pages_exist(page):
    for span in code_in(page):
        for path in re.findall(r"(?:code|tests)/[\w/]+(?:\.py\b|/)", span):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pictures_links_and_headings_exist(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", text_of(path), re.M)
            assert anchor in map(slug, headings), target


def test_every_page_is_linked_from_the_readme():
    targets = re.findall(r"\]\(([^)#\s]+)", text_of(README))
    linked = {(ROOT / target).resolve() for target in targets}
    assert set(PAGES) - {README} <= linked


def counts(pattern):
    """All numbers that the pages put before some words."""
    whole = " ".join(" ".join(map(text_of, PAGES)).split())
    return [int(number) for number in re.findall(rf"(\d+) {pattern}", whole)]


def test_kinds_of_defect_are_as_many_as_the_pages_say():
    named = counts("kinds of defect")
    assert named and set(named) == {len(KINDS)}
    fixed = sum(kind.fixed for kind in KINDS.values())
    assert counts("of the kinds") == [fixed]


def test_formats_are_as_many_as_the_pages_say():
    assert counts("annotation formats") == [len(FORMATS)]
    table = text_of(UTIL).split("| annotations | what is read |\n|---|---|\n")
    rows = table[1].split("\n\n")[0].splitlines()
    assert len(rows) == len(FORMATS)


def rows_of(text, heading):
    """Cells of the table below a heading line, without that line."""
    after = text.split(f"{heading}\n", 1)[1].split("\n\n")[0].splitlines()
    return [
        [cell.strip(" *`") for cell in line.strip("|").split("|")]
        for line in after[1:]
    ]


def recorded_runs(directory):
    """Cells of each variant in the table that compare.py wrote."""
    text = text_of(BENCHMARKS / "left_open" / directory / "table.md")
    heading = text.splitlines()[0]
    return {name: cells for name, *cells in rows_of(text, heading)}


def variant_of(name):
    """``--recipe best --size 128`` as compare.py calls it."""
    options = re.findall(r"--(\S+) (\S+)", name)
    return ", ".join(f"{key}={value}" for key, value in options) or name


@pytest.mark.parametrize(
    ("page", "heading", "directory", "count"),
    [
        (README, "| training | building IoU |", "thirty_epochs", 3),
        (
            BENCHMARKS / "README.md",
            "| on the 180 test tiles, 30 epochs |",
            "thirty_epochs",
            4,
        ),
        (BENCHMARKS / "README.md", "| variant | seeds |", "screening", 23),
    ],
)
def test_scores_are_those_of_the_recorded_runs(page, heading, directory, count):
    text = text_of(page)
    (line,) = [x for x in text.splitlines() if x.startswith(heading)]
    rows = rows_of(text, line)
    assert len(rows) == count
    recorded = recorded_runs(directory)
    for name, *values in rows:
        assert set(values) <= set(recorded[variant_of(name)]), name
