"""A network call against its number of fields, on this device."""

from collections.abc import Sequence

from parampi.bench.table import markdown
from parampi.bench.table import to_json as to_json
from parampi.engine.network_calls import NetworkCall, measure_calls

measure = measure_calls


def to_markdown(rows: Sequence[NetworkCall]) -> str:
    header = ("fields in a call", "ms", "ms per field", "memory, MB")
    body = [
        [r.fields, float(f"{1e3 * r.seconds:.3g}"), float(f"{1e3 * r.seconds / r.fields:.3g}"), float(f"{r.bytes / 1e6:.3g}")]
        for r in rows
    ]
    return markdown(header, body)
