"""The notebook runs from top to bottom, on fewer prompts, and shows an effect."""

import contextlib
import io
import json

import pytest


@pytest.fixture(scope="module")
def cells(request):
    file = request.config.rootpath / "recipes" / "notebook.ipynb"
    return json.loads(file.read_text(encoding="utf-8"))["cells"]


@pytest.mark.slow
def test_the_cells_run_in_order_and_show_an_effect(cells, tmp_path):
    names, printed = {}, io.StringIO()
    with contextlib.chdir(tmp_path), contextlib.redirect_stdout(printed):
        for cell in cells:
            if cell["cell_type"] == "code":
                source = "".join(cell["source"]).replace("= 100, 50, 3", "= 20, 12, 10")
                exec(compile(source, f"notebook.ipynb:{cell['id']}", "exec"), names)
    assert (names["EPOCHS"], len(names["prompts"].train)) == (10, 20)
    change = names["found"]["metrics"]["adherence"]["overall"]["change"]
    assert change["value"] > 0.1 and change["low"] > 0
    assert names["lines"][-1]["loss"] < names["lines"][0]["loss"]
    assert (tmp_path / names["page"]).is_file() and "change: " in printed.getvalue()


def test_the_notebook_is_stored_without_outputs_and_its_cells_have_names(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in cells}) == len(cells)
