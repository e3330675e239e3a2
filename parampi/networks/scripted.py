"""TorchScript programs. They run TorchScript's operators and no Python; those of them that read or write files are refused."""

import re
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from parampi.errors import DataError
from parampi.networks.fixed_batch import in_batches, size_that_works

FILES = re.compile(r"\b(torch|ops\.aten)\.(save|load|from_file)\s*\(")
"""Operators that reach beyond the tensors."""
OTHERS = re.compile(r"\bops\.(?!aten\.|prim\.|prims\.|quantized\.|torchvision\.)(\w+\.\w+)")


class ScriptedNetwork(nn.Module):
    """A program, called as network(x, time) or network(x, time, condition). The size of batches that it takes, where it takes
    one alone, is found when it refuses another."""

    def __init__(self, program: nn.Module):
        super().__init__()
        self.program = program
        self.size: int | None = None

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.size is None:
            try:
                return self.program(*inputs)  # type: ignore[no-any-return]
            except RuntimeError:
                self.size = size_that_works(self.program, [one[:1] for one in inputs])
                if self.size is None:
                    raise
        return in_batches(self.program, inputs, self.size, self.size)


def load_scripted(path: Path, device: torch.device) -> ScriptedNetwork:
    """Return the program of a file, on a device. Raises DataError for what is none, or reaches for files."""
    check_code(path)
    try:
        program: nn.Module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
        return ScriptedNetwork(program.eval())
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"model.weights: {path} is no TorchScript program that torch {torch.__version__} reads ({reason}); export the "
            f"network with torch.export.save"
        ) from None


def check_code(path: Path) -> None:
    """Raise DataError for a program that calls operators on files, or those of other libraries."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not re.search(r"/code/.*\.py$", name):
                continue
            code = archive.read(name).decode(errors="replace")
            call = FILES.search(code) or OTHERS.search(code)
            if call:
                raise DataError(
                    f"model.weights: {path} is refused: its program calls {call.group().rstrip('( ')}, and may read or write "
                    f"files; export the network without it, best with torch.export.save"
                )
