"""Ranks: who owns what, the scan over them, and how they start and stop. The only package that imports mpi4py."""

from parampi.parallel.group import Alone, Group, MPIGroup, as_group
from parampi.parallel.layout import Layout, Slices, split
from parampi.parallel.scan import MODES, Mode, affine_scan
from parampi.parallel.transport import Transport, gpu_aware
from parampi.parallel.window import Window, move, pass_on

__all__ = [
    "MODES", "Alone", "Group", "Layout", "MPIGroup", "Mode", "Slices", "Transport", "Window", "affine_scan", "as_group",
    "gpu_aware", "move", "pass_on", "split",
]  # fmt: skip
