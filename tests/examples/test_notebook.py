"""The notebook among the examples: it runs as it is, and shows what it says."""

from pathlib import Path

import pytest

pytest.importorskip("ipykernel", reason="needs ipykernel and nbclient, of the extra test")
nbclient = pytest.importorskip("nbclient", reason="needs ipykernel and nbclient, of the extra test")
nbformat = pytest.importorskip("nbformat")

pytestmark = pytest.mark.slow

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "notebook.ipynb"


def test_it_holds_no_outputs():
    cells = nbformat.read(NOTEBOOK, 4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert NOTEBOOK.stat().st_size < 10_000


@pytest.mark.filterwarnings("ignore")
def test_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    data = [output.data for output in outputs if "data" in output]
    streams = {name: "".join(one.text for one in outputs if one.get("name") == name) for name in ("stdout", "stderr")}
    assert sum("image/png" in one for one in data) == 3
    pages = [one["text/html"] for one in data if "text/html" in one]
    assert "<code>Ensemble(fields 8 x 1 x 32 x 32; 8 members, " in pages[0] and "member" in pages[1] and len(pages) == 2
    assert "100 % |" in streams["stderr"] and "8 of 8 members" in streams["stderr"] and "Warning" not in streams["stderr"]
    assert "48 members against 500 samples of the data" in streams["stdout"]
    assert not list(tmp_path.iterdir())
