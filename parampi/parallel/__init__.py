"""Ranks: who owns what, the scan over them, and how they start and stop. The only package that imports mpi4py."""

from parampi.parallel.group import Group, MPIGroup, MPIPost, Post, SerialGroup, as_group
from parampi.parallel.layout import Layout, Ranks, Slices, split
from parampi.parallel.rank_scans import Doubling, RankScan
from parampi.parallel.scan import MODES, Mode, affine_scan, operator_scan, rank_scan, room_for, scan_in_place
from parampi.parallel.scan_choice import ScanSize, Sent
from parampi.parallel.transport import Transport, gpu_aware
from parampi.parallel.transposed import Transposed
from parampi.parallel.window import (
    PlacedPoint,
    PointRanges,
    Window,
    exchange_halo,
    fetch_points,
    halo_points,
    move,
    redistribute,
    redistribute_all,
    rows_at,
)

__all__ = [
    "MODES",
    "Doubling",
    "Group",
    "Layout",
    "MPIGroup",
    "MPIPost",
    "Mode",
    "PlacedPoint",
    "PointRanges",
    "Post",
    "RankScan",
    "Ranks",
    "ScanSize",
    "Sent",
    "SerialGroup",
    "Slices",
    "Transport",
    "Transposed",
    "Window",
    "affine_scan",
    "as_group",
    "exchange_halo",
    "fetch_points",
    "gpu_aware",
    "halo_points",
    "move",
    "operator_scan",
    "rank_scan",
    "redistribute",
    "redistribute_all",
    "room_for",
    "rows_at",
    "scan_in_place",
    "split",
]  # fmt: skip
