"""Records of a checkpoint that know whether they are what was written: every byte that decides a result is in a digest."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, uint8

from parampi.fields.atomic_files import write_whole
from parampi.fields.json_text import to_json
from parampi.report import MemberReport
from parampi.run.stored_records import Stored, StoredReport, validated

R = TypeVar("R", bound=Stored)

SEAL = "sha256"
"""Key of the digest of all else in a record."""
DAMAGE = (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError)
"""Errors of reading a record that is damaged."""


def refuse_link(path: Path) -> None:
    """Raise ValueError for a link: what a checkpoint holds lies in it."""
    if path.is_symlink():
        raise ValueError("it is a link, which a checkpoint never has")


def digest_of(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a record's content, whatever the order of its keys."""
    content = {key: value for key, value in record.items() if key != SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record with its digest, as JSON. Raises OutputError."""
    write_whole(path, to_json(record | {SEAL: digest_of(record)}, indent=1).encode())


def read_record(path: Path, schema: type[R]) -> R:
    """Return a record. Raises ValueError where it is not what was written or is none of this schema, and OSError."""
    refuse_link(path)
    try:
        record = json.loads(path.read_text())
        if not isinstance(record, dict) or record.pop(SEAL, None) != digest_of(record):
            raise ValueError("its digest does not fit its content")
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return validated(schema, record)


def write_member(path: Path, state: Tensor, report: MemberReport) -> None:
    """Write a finished member. Raises OutputError."""
    state, facts = state.detach().cpu().contiguous(), json.dumps(vars(report))
    write_whole(path, save({"state": state}, {"report": facts, SEAL: member_digest(state, facts)}))


def read_member(path: Path, member: int, lead: int, shape: Sequence[int] | None = None) -> tuple[Tensor, MemberReport]:
    """Return a finished member. Raises one of DAMAGE where the file is not what was written, or is of another member or, where
    that is known, of another shape."""
    refuse_link(path)
    with safe_open(path, "pt") as file:
        state, metadata = file.get_tensor("state"), file.metadata()
    if metadata[SEAL] != member_digest(state, metadata["report"]):
        raise ValueError("its digest does not fit its content")
    try:
        report = MemberReport(**validated(StoredReport, json.loads(metadata["report"])).model_dump())
    except RecursionError:
        raise ValueError("its report is nested too deep") from None
    if not state.is_floating_point() or (shape is not None and tuple(state.shape) != tuple(shape)):
        raise ValueError(f"its field is {state.dtype} of shape {list(state.shape)}; expected numbers of shape {shape}")
    if (report.member, report.lead) != (member, lead):
        raise ValueError(f"it is of member {report.member} at lead time {report.lead}")
    return state, report


def member_digest(state: Tensor, facts: str) -> str:
    digest = hashlib.sha256(f"{state.dtype} {tuple(state.shape)} {facts}".encode())
    digest.update(state.reshape(-1).view(uint8).numpy().data)
    return digest.hexdigest()
