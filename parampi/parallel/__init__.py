"""Ranks: who owns what, the scan over them, and how they start and stop. The only package that imports mpi4py."""

from parampi.parallel.group import Alone, Group, MPIGroup, as_group
from parampi.parallel.layout import Layout, Slices, split
from parampi.parallel.scan import MODES, Mode, affine_scan, operator_scan
from parampi.parallel.transport import Transport, gpu_aware
from parampi.parallel.window import Window, entering, move, pass_on, redistribute

__all__ = [
    "MODES", "Alone", "Group", "Layout", "MPIGroup", "Mode", "Slices", "Transport", "Window", "affine_scan", "as_group",
    "entering", "gpu_aware", "move", "operator_scan", "pass_on", "redistribute", "split",
]  # fmt: skip
