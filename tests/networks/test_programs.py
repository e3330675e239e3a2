"""Programs of torch.export and TorchScript: run with the batches they take, and refused where they would run more."""

import json
import zipfile

import pytest
import torch

from parampi.errors import ConfigError, DataError
from parampi.networks import FileKind, kind_of
from parampi.networks.exported import load_exported
from parampi.networks.loading import load
from parampi.networks.scripted import load_scripted

CPU = torch.device("cpu")


class Network(torch.nn.Module):
    """White Gaussian data of variance 1/4, as D(x, sigma)."""

    def __init__(self):
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(0.25))

    def forward(self, x, sigma):
        return x * (self.share / (self.share + sigma[:, None, None, None] ** 2))


def exported(path, batch, **dynamic):
    program = torch.export.export(Network(), (torch.randn(batch, 1, 4, 4), torch.ones(batch)), **dynamic)
    torch.export.save(program, path)
    return path


class OneSize(Network):
    """The same, of batches of one size."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def forward(self, x, sigma):
        return super().forward(x.reshape(self.batch, 1, 4, 4), sigma)


def traced(path, batch):
    torch.jit.trace(OneSize(batch), (torch.randn(batch, 1, 4, 4), torch.ones(batch))).save(str(path))
    return path


def asked(network, count):
    x, sigma = torch.randn(count, 1, 4, 4), torch.linspace(0.1, 2.0, count)
    assert torch.allclose(network(x, sigma), Network()(x, sigma), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 4])
def test_batches_of_one_size_are_split_and_filled(tmp_path, batch):
    network = load(exported(tmp_path / "net.pt2", batch), CPU)
    assert (network.least, network.most) == (batch, batch)
    for count in (1, 3, 4, 9):
        asked(network, count)


def test_batches_of_any_size(tmp_path):
    size = torch.export.Dim("size")
    network = load(exported(tmp_path / "net.pt2", 3, dynamic_shapes=({0: size}, {0: size})), CPU)
    assert network.most is None
    for count in (1, 7):
        asked(network, count)


def test_batches_of_a_range(tmp_path):
    size = torch.export.Dim("size", min=2, max=5)
    network = load(exported(tmp_path / "net.pt2", 3, dynamic_shapes=({0: size}, {0: size})), CPU)
    assert (network.least, network.most) == (2, 5)
    for count in (1, 2, 5, 11):
        asked(network, count)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_batches_of_scripts_are_found(tmp_path):
    network = load(traced(tmp_path / "net.pt", 3), CPU)
    for count in (1, 3, 7):
        asked(network, count)
    assert network.size == 3


def test_other_shapes_are_refused(tmp_path):
    network = load_exported(exported(tmp_path / "net.pt2", 2), CPU)
    words = r"takes inputs of shape \(batch, 1, 4, 4\), and was given fields of shape \(1, 8, 8\)"
    with pytest.raises(ConfigError, match=words):
        network(torch.zeros(2, 1, 8, 8), torch.ones(2))
    with pytest.raises(ConfigError, match=r"takes 2 inputs, and was called with 3: .* leave condition out"):
        network(torch.zeros(2, 1, 4, 4), torch.ones(2), torch.ones(2))


def rewritten(path, change):
    """The same archive with some files changed."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    change(content)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def with_target(target):
    def change(content):
        graph = json.loads(content["net/models/model.json"])
        graph["graph_module"]["graph"]["nodes"][0]["target"] = target
        content["net/models/model.json"] = json.dumps(graph).encode()

    return change


def with_size(text):
    def change(content):
        data = content["net/models/model.json"].decode()
        assert "expr_str" in data
        graph = json.loads(data, object_hook=lambda one: one | ({"expr_str": text} if "expr_str" in one else {}))
        content["net/models/model.json"] = json.dumps(graph).encode()

    return change


class Evil:
    """A pickle of it writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def with_pickle(trace):
    def change(content):
        torch.save(Evil(trace), trace.with_suffix(".pt"))
        content["net/data/sample_inputs/model.pt"] = trace.with_suffix(".pt").read_bytes()

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_target("torch.hub.load"), "it calls torch.hub.load"),
        (with_target("torch.ops.aten.from_file.default"), "it calls torch.ops.aten.from_file.default"),
        (with_target("_operator.methodcaller"), "it calls _operator.methodcaller"),
        (with_size("exec('x')"), "it has \"exec\\('x'\\)\" for a size"),
        (with_size("().__class__"), "it has .* for a size"),
    ],
)
def test_programs_that_would_run_more_are_refused(tmp_path, change, words):
    size = torch.export.Dim("size")
    path = exported(tmp_path / "net.pt2", 3, dynamic_shapes=({0: size}, {0: size}))
    rewritten(path, change)
    with pytest.raises(DataError, match=f"{words}, and reading it may run code; export a program of torch's operators alone"):
        load(path, CPU)


def test_pickles_in_programs_are_refused(tmp_path):
    path = exported(tmp_path / "net.pt2", 3)
    rewritten(path, with_pickle(tmp_path / "trace"))
    with pytest.raises(DataError, match=r"net/data/sample_inputs/model\.pt in it holds objects of Python, and reading it may"):
        load(path, CPU)
    assert not (tmp_path / "trace").exists()


class Writer(torch.nn.Module):
    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, x, sigma):
        torch.save(x, self.path)
        return x


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripts_that_write_files_are_refused(tmp_path):
    torch.jit.script(Writer(str(tmp_path / "trace"))).save(str(tmp_path / "net.pt"))
    with pytest.raises(DataError, match=r"its program calls torch\.save, and may read or write files; export the network with"):
        load_scripted(tmp_path / "net.pt", CPU)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_kinds_are_known_by_what_is_in_files(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "a.bin")
    assert kind_of(tmp_path / "a.bin") is FileKind.CHECKPOINT
    assert kind_of(exported(tmp_path / "b", 2)) is FileKind.EXPORTED
    assert kind_of(traced(tmp_path / "c", 2)) is FileKind.SCRIPTED
    with pytest.raises(DataError, match=r"the folder .* has neither model_index\.json nor config\.json beside"):
        kind_of(tmp_path)
    with pytest.raises(DataError, match="there is no file"):
        kind_of(tmp_path / "no")
