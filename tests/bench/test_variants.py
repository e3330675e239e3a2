"""Ways to run a network, measured against the network as it is."""

import json

from parampi.__main__ import main
from parampi.bench.variants import Row, spread, to_markdown
from tests.small import write_project


def test_variants_are_compared_with_the_network_as_it_is(tmp_path, capsys):
    (tmp_path / "small.py").write_text("from tests.networks.accelerated import Small\n")
    path = write_project(tmp_path, model__network="small.py:Small", model__weights=None, model__shape=[1, 8, 8])
    variants = "bfloat16,cuda_graphs,full-float32"
    assert main(["bench", "network", str(path), "parallel.device=cpu", "--variants", variants, "--most", "4", "--json"]) == 0
    plain, half, graphs = json.loads(capsys.readouterr().out)
    assert plain["name"] == "plain" and (plain["largest"], plain["final"]) == (0, 0)
    assert 1 < plain["rounds"] <= 12 and half["rounds"] >= plain["rounds"]
    assert set(half["calls"]) == {"1", "4"} and 0 < half["middle"] <= half["largest"] < 0.05 and 1e-5 < half["final"] < 0.05
    assert graphs["calls"] == {} and "model.cuda_graphs: graphs of calls are of CUDA GPUs" in graphs["refused"]
    assert main(["bench", "network", str(path), "--variants", "quick"]) == 2
    assert "--variants quick: quick is none of plain, full-float32, compile" in capsys.readouterr().err


def test_levels_are_spread_over_all_above_zero():
    assert spread([8.0, 4.0, 2.0, 1.0, 0.5, 0.0], most=3) == [8.0, 2.0, 0.5]
    assert spread([8.0, 4.0, 0.0]) == [8.0, 4.0]


def test_the_table_has_sizes_that_were_reached_and_reasons():
    rows = [
        Row("plain", {1: 0.01, 4: 0.02}, 1.0, 0.0, 0.0, 5.0, 0.0, 9),
        Row("half", {1: 0.005}, 2.0, 1e-3, 0.0137, 40.0, 2e-3, 12),
    ]
    lines = to_markdown([*rows, Row("graphs", refused="no GPU")]).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:4]] == ["variant", "ms, 1", "ms, 4"]
    assert [cell.strip() for cell in lines[3].split("|")[1:-1]] == [
        "half",
        "5",
        "-",
        "2",
        "1.0e-03",
        "0.014",
        "40",
        "2.0e-03",
        "12",
    ]
    assert lines[-1] == "* graphs: no GPU"


def test_a_table_of_variants_is_none_for_plans(tmp_path, capsys):
    machine = str(tmp_path / "machine.json")
    assert main(["bench", "network", str(write_project(tmp_path)), "--variants", "all", "--out", machine]) == 2
    assert "leave --out and mpiexec away" in capsys.readouterr().err
