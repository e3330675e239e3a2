"""Weights of a class out of checkpoints: where the tensors are, and no code."""

import pytest
import torch
from safetensors.torch import save_file

from parampi.errors import ConfigError, DataError
from parampi.networks.loading import load
from parampi.networks.weights import read_state
from tests.networks.test_programs import Evil, exported

STATE = {"module.weight": torch.arange(2.0), "module.bias": torch.ones(1)}


def test_keys_and_prefixes(tmp_path):
    torch.save({"epoch": 3, "ema": {"params": STATE}, "name": "net"}, tmp_path / "net.ckpt")
    state = read_state(tmp_path / "net.ckpt", "ema.params", "module.")
    assert list(state) == ["weight", "bias"] and torch.equal(state["weight"], torch.arange(2.0))
    torch.save(STATE, tmp_path / "plain.pt", _use_new_zipfile_serialization=False)
    assert list(read_state(tmp_path / "plain.pt")) == list(STATE)
    save_file(STATE, tmp_path / "w.safetensors")
    assert set(read_state(tmp_path / "w.safetensors", prefix="module.")) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("key", "prefix", "words"),
    [
        (None, "", r"holds no mapping of names to tensors, but epoch, ema, name; say with model\.key where they are, such as"),
        ("ema", "", r"holds no mapping of names to tensors at ema, but params; say with model\.key"),
        ("ema.state", "", r"model\.key = ema\.state: .*net\.ckpt has no state in ema; it has params"),
        ("name.x", "", r"has no x in name; it has a str"),
        ("ema.params", "net.", r"model\.strip_prefix = net\.: no tensor of .* begins so; there are module\.weight,"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path, key, prefix, words):
    torch.save({"epoch": 3, "ema": {"params": STATE}, "name": "net"}, tmp_path / "net.ckpt")
    with pytest.raises(DataError, match=words):
        read_state(tmp_path / "net.ckpt", key, prefix)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_that_run_code_are_refused(tmp_path, zipped):
    torch.save({"state_dict": STATE, "hook": Evil(tmp_path / "trace")}, tmp_path / "net.pt",
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    with pytest.raises(DataError, match=r"objects that would run code when they are read \(.*open\).*write the tensors alone"):
        read_state(tmp_path / "net.pt", "state_dict")
    assert not (tmp_path / "trace").exists()


def test_files_of_another_kind(tmp_path):
    save_file(STATE, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"model\.key = ema: .* is a safetensors file, which holds tensors alone"):
        read_state(tmp_path / "w.safetensors", "ema")
    with pytest.raises(ConfigError, match=r"model\.network is missing: .* holds weights alone \(safetensors\); name the class"):
        load(tmp_path / "w.safetensors", torch.device("cpu"))
    with pytest.raises(DataError, match=r"is a program of torch\.export, which holds a network and not only weights; leave"):
        read_state(exported(tmp_path / "net.pt2", 2))
    (tmp_path / "x.pt").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"is no checkpoint that torch\.load reads"):
        read_state(tmp_path / "x.pt")
