"""Calls of a network as CUDA graphs: its kernels are recorded once for each size of a batch, and started together."""

import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

MOST = 8
"""Graphs of one network; each keeps the memory of a call."""
WARM_UPS = 3
"""Calls before a recording, in which libraries choose kernels and take memory."""


@dataclass(frozen=True)
class Graph:
    """A recorded call: its kernels read `inputs`, and write `output`."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor

    def __call__(self, *inputs: Tensor) -> Tensor:
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        self.graph.replay()
        return self.output.clone()


@dataclass
class Recordings:
    """The graphs of a network by shapes and types of its inputs, and why no further one is made, "" while it may be."""

    graphs: dict[Any, Graph] = field(default_factory=dict)
    pool: Any = None
    obstacle: str = ""


class Captured(nn.Module):
    """A network whose calls are recorded, for up to `most` sizes of batches; further sizes are called as they are."""

    def __init__(self, network: nn.Module, most: int = MOST):
        super().__init__()
        self.network, self.most, self.recordings = network, most, Recordings()

    def forward(self, *inputs: Tensor) -> Tensor:
        key = tuple((one.shape, one.dtype, one.device) for one in inputs)
        graph = self.recordings.graphs.get(key)
        if graph is None and self.recordings.obstacle == "" and len(self.recordings.graphs) < self.most:
            graph = self.record(key, inputs)
        output: Tensor = self.network(*inputs) if graph is None else graph(*inputs)
        return output

    def record(self, key: Any, inputs: tuple[Tensor, ...]) -> Graph | None:
        """Return the graph of a call; None, having said why, where it cannot be made. Errors of the call itself are raised."""
        before, stream = torch.cuda.current_stream(inputs[0].device), torch.cuda.Stream(inputs[0].device)  # type: ignore[no-untyped-call]
        stream.wait_stream(before)
        with torch.cuda.stream(stream):  # which is left again whatever fails: a recording that fails does not leave it
            own = tuple(one.clone() for one in inputs)
            for _ in range(WARM_UPS):
                self.network(*own)
            graph = self.tried(own, stream)
        before.wait_stream(stream)
        if graph is not None:
            self.recordings.graphs[key] = graph
        return graph

    def tried(self, inputs: tuple[Tensor, ...], stream: torch.cuda.Stream) -> Graph | None:
        """Return the graph of a call whose inputs stay where they are; None, having said why, where it cannot be made."""
        graph, had = torch.cuda.CUDAGraph(), self.recordings
        generator = torch.cuda.default_generators[stream.device.index]
        numbers = generator.clone_state()
        try:
            with torch.cuda.graph(graph, pool=had.pool, stream=stream, capture_error_mode="thread_local"):
                output = self.network(*inputs)
            had.pool = graph.pool()
            return Graph(graph, inputs, output)
        except Exception as error:
            # a recording that fails leaves the generator of random numbers to it, and others could draw none
            generator.graphsafe_set_state(numbers)
            had.obstacle = first_cause(error)
            print(
                f"parampi: cuda_graphs: a call with {len(inputs[0])} fields cannot be recorded ({had.obstacle}); the network "
                f"is called without further graphs",
                file=sys.stderr,
                flush=True,
            )
            return None

    def _apply(self, *args: Any, **kwargs: Any) -> "Captured":
        """Forget what was recorded where the weights move."""
        self.recordings = Recordings()
        moved: Captured = super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        return moved


def first_cause(error: BaseException) -> str:
    """Return in a line what went wrong first: the end of a recording fails again, with less to say."""
    while error.__context__ is not None:
        error = error.__context__
    reason = next((line for line in str(error).splitlines() if line.strip()), "no reason is given")
    return f"{type(error).__name__}: {reason[:200]}"
