"""The notebook is the script, and it runs."""

import jupytext
import nbformat
from nbclient import NotebookClient

from conftest import CODE, make_tree

SCRIPT = CODE / "train" / "train_unet.py"
NOTEBOOK = CODE / "train" / "train.ipynb"


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_notebook_holds_the_cells_of_the_script():
    assert cells(jupytext.read(NOTEBOOK)) == cells(jupytext.read(SCRIPT)), (
        "make it again: jupytext --to ipynb --set-kernel python3 --execute "
        "--output code/train/train.ipynb code/train/train_unet.py"
    )


def test_notebook_shows_a_real_run():
    notebook = jupytext.read(NOTEBOOK)
    outputs = [
        output for cell in notebook.cells for output in cell.get("outputs", [])
    ]
    pictures = [o for o in outputs if "image/jpeg" in o.get("data", {})]
    text = "".join(o.get("text", "") for o in outputs)
    assert len(pictures) == 6
    assert "1,941,105 weights" in text
    assert "building IoU" in text
    assert not [o for o in outputs if o.output_type == "error"]


def test_notebook_runs_from_top_to_bottom(tmp_path):
    make_tree(tmp_path / "train", 6)
    make_tree(tmp_path / "test", 2)
    notebook = jupytext.read(SCRIPT)
    place = next(
        number
        for number, cell in enumerate(notebook.cells)
        if "= read_arguments()" in cell.source
    )
    options = (
        f"args.data = Path({str(tmp_path)!r})\n"
        "args.dry_run, args.size, args.filters, args.depth = True, 32, 2, 2"
    )
    cell = nbformat.v4.new_code_cell(options)
    notebook.cells.insert(place + 1, cell)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": tmp_path}},
    )
    client.execute()
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "summary.json").exists()
