"""The figure of the scaling law."""

from dataclasses import dataclass

from scaling_law.figure import scaling_figure


@dataclass(frozen=True)
class Line:
    problem: str
    kind: str
    method: str
    dim: int
    rounds: int
    stored: int


def lines():
    for kind in ("sde", "ode"):
        for k, dim in enumerate((16, 64, 256)):
            yield Line("any", kind, "theorem, constants 1", dim, 40 + k, dim**2)
            yield Line("spectrum", kind, "PIADM", dim, 20 + k, 9 * dim)
            yield Line("spectrum", kind, "Picard", dim, 10 + k, 9 * dim)
            yield Line("spectrum", kind, "unknown to the figure", dim, 1, 1)


def test_figure_is_drawn_and_replaced(tmp_path):
    path = tmp_path / "scaling.png"
    for _ in range(2):
        scaling_figure(path, list(lines()), "spectrum", 0.3)
    assert path.read_bytes().startswith(b"\x89PNG") and list(tmp_path.iterdir()) == [path]
