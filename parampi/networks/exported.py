"""Programs of torch.export (.pt2): graphs of torch's operators. What would run anything else is refused before torch reads
it."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parampi.errors import ConfigError, DataError
from parampi.networks.fixed_batch import in_batches

OPERATORS = re.compile(r"torch\.ops\.(aten|prims|prim|higher_order)\.\w+(\.\w+)?|_operator\.\w+|math\.\w+|torch\.(_?sym_\w+)")
"""Targets that a graph may call."""
FILES = re.compile(r"torch\.ops\.\w+\.(save|load|from_file|_?print)\b|_operator\.(call|attrgetter|methodcaller)")
"""Those among them that reach beyond the tensors."""
FUNCTIONS = """Max Min Mod PythonMod FloorDiv CleanDiv CeilDiv CeilToInt FloorToInt IntTrueDiv FloatTrueDiv ToFloat TruncToInt
RoundToInt ModularIndexing Where Identity PowByNatural True False Eq Ne And Or Not inf oo
Symbol positive nonnegative integer"""
SYMBOLS = re.compile("|".join([r"[su]\d+", r"zuf\d+", *FUNCTIONS.split()]))
"""Names that sizes of tensors are made of: torch evaluates these texts."""


class ExportedNetwork(nn.Module):
    """A program, called as network(x, time) or network(x, time, condition) with the batch sizes and types that it takes."""

    def __init__(self, program: torch.export.ExportedProgram):
        super().__init__()
        self.shapes, self.types = inputs_of(program)
        self.least, self.most = batch_sizes(self.shapes[0][0], program)
        # what the sizes of inputs must be is checked below: torch's own check is code out of the file
        self.program = program.module(check_guards=False)

    def forward(self, x: Tensor, time: Tensor, *condition: Tensor) -> Tensor:
        inputs = (x, time, *condition)
        if len(inputs) != len(self.shapes):
            remedy = "leave condition out" if condition else "give a condition"
            raise ConfigError(
                f"the program in model.weights takes {len(self.shapes)} inputs, and was called with {len(inputs)}: fields, "
                f"times{' and a condition' if condition else ''}; {remedy}, or export it anew"
            )
        for one, shape in zip(inputs, self.shapes, strict=True):
            require(tuple(one.shape[1:]), shape)
        return in_batches(
            self.program, [as_taken(*pair) for pair in zip(inputs, self.types, strict=True)], self.least, self.most
        )


def batch_sizes(first: Any, program: torch.export.ExportedProgram) -> tuple[int, int | None]:
    """Return the fewest and the most fields that a program takes at once, None for no limit."""
    if isinstance(first, int):
        return first, first
    bounds = program.range_constraints.get(first.node.expr)
    return (1, None) if bounds is None else (max(1, whole(bounds.lower) or 1), whole(bounds.upper))


def as_taken(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an input in the type that a program takes; times that it counts are rounded."""
    return value.to(dtype) if dtype.is_floating_point else value.round().to(dtype)


def whole(bound: Any) -> int | None:
    """Return an end of a range, None where it has none."""
    if not getattr(bound, "is_finite", True):  # sympy's infinity, which cannot be made a number
        return None
    try:
        number = int(bound)
    except (AttributeError, OverflowError, TypeError, ValueError):
        return None
    return number if number < 1 << 40 else None


def inputs_of(program: torch.export.ExportedProgram) -> tuple[list[tuple[Any, ...]], list[torch.dtype]]:
    """Return the shapes, numbers or symbols, and the types of a program's inputs. Raises DataError for others than tensors."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    inputs: list[Any] = [values.get(str(name)) for name in program.graph_signature.user_inputs]
    if not 2 <= len(inputs) <= 3 or not all(isinstance(one, Tensor) and one.ndim for one in inputs):
        kinds = ", ".join(str(tuple(one.shape)) if isinstance(one, Tensor) else type(one).__name__ for one in inputs)
        raise DataError(
            f"model.weights: the program takes ({kinds}); export one that takes fields (B, ...), times (B,) and, if there is "
            f"one, a condition (B, ...)"
        )
    return [tuple(one.shape) for one in inputs], [one.dtype for one in inputs]


def require(shape: tuple[int, ...], expected: tuple[Any, ...]) -> None:
    """Raise ConfigError for an input of another shape than a program takes."""
    inner = expected[1:]
    if len(shape) != len(inner) or any(isinstance(n, int) and n != size for n, size in zip(inner, shape, strict=True)):
        raise ConfigError(
            f"the program in model.weights takes inputs of shape ({', '.join(['batch', *map(str, inner)])}), and was given "
            f"fields of shape {shape}; put model.shape and condition right, or export it for these"
        )


def load_exported(path: Path, device: torch.device) -> ExportedNetwork:
    """Return the program of a file, on a device. Raises DataError for what is none, or would run more than operators."""
    check_content(path)
    try:
        program = torch.export.load(path)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"model.weights: {path} is no program that torch {torch.__version__} reads ({type(error).__name__}: {reason}); "
            f"export it anew with torch.export.save"
        ) from None
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return ExportedNetwork(program)


def check_content(path: Path) -> None:
    """Raise DataError where a file asks for more than operators on tensors: objects of Python, other functions, texts that are
    evaluated. torch.export.load would make and call them."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        graphs = [name for name in names if re.fullmatch(r"[^/]+/models/[^/]+\.json", name)]
        strange = [name for name in names if re.search(r"/(custom_obj|opaque_obj)|/data/aotinductor/", name)]
        if not graphs or strange:
            reason = f"it holds {strange[0]}" if strange else "it has no models/NAME.json"
            raise refused(path, reason)
        for name in graphs:
            check_graph(path, json.loads(archive.read(name)))
        for name in names:
            data = archive.read(name) if "/data/" in name and not name.endswith(".json") else b""
            if data[:4] == b"PK\x03\x04" or data[:1] == b"\x80":
                check_pickle(path, name, data)


def check_graph(path: Path, tree: Any) -> None:
    """Raise DataError for a graph that calls anything but operators, or evaluates anything but sizes."""
    if isinstance(tree, list):
        for one in tree:
            check_graph(path, one)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if key == "target" and isinstance(value, str) and not allowed(value):
                raise refused(path, f"it calls {value[:80]}")
            if key == "expr_str" and not all(SYMBOLS.fullmatch(word) for word in re.findall(r"[^\W\d]\w*", str(value))):
                raise refused(path, f"it has {str(value)[:80]!r} for a size")
            check_graph(path, value)


def allowed(target: str) -> bool:
    """Return whether a graph may call a target; a text without dots is the name of a value."""
    return bool(re.fullmatch(r"\w*", target) or (OPERATORS.fullmatch(target) and not FILES.match(target)))


def check_pickle(path: Path, name: str, data: bytes) -> None:
    """Raise DataError for a pickle with more than tensors and plain data; torch would read it all the same."""
    try:
        torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:
        if name.rpartition("/")[2].startswith("weight_") and data[:1] == b"\x80":
            return  # numbers, not a pickle, that happen to begin like one: torch reads them as numbers, or by weights_only
        raise refused(path, f"{name} in it holds objects of Python") from None


def refused(path: Path, reason: str) -> DataError:
    return DataError(
        f"model.weights: {path} is refused: {reason}, and reading it may run code; export a program of torch's operators alone "
        f"with torch.export.save, or give the network's class as model.network and its weights as safetensors"
    )
