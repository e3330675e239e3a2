"""The JSON Schema of `report.json`: of the classes that a report is made of, so that it cannot say anything else."""

import dataclasses
import re
from typing import Any

from pydantic import TypeAdapter

from parampi import __version__
from parampi.report import MemberReport, Report, Residuals, Timing
from parampi.run.config.schema import DIALECT, schema

Node = dict[str, Any]
TEXT: Node = {"type": "string"}
COUNT: Node = {"type": "integer", "minimum": 1}
RATIO: Node = {"anyOf": [{"type": "number"}, {"type": "null"}]}
ATTRIBUTES: dict[str, tuple[Node, str]] = {
    "parampi_version": (TEXT, "version that wrote the report"),
    "parampi_ensemble": (TEXT, "name of the ensemble, which its file and parts carry too"),
    "parampi_run": (TEXT, "name that the run has through all its attempts"),
    "rank_layout": (TEXT, "how ranks share members and points, in words"),
    "ranks": (COUNT, "ranks"),
    "time_ranks": (COUNT, "ranks of a group, which share the points of its members"),
    "threads_per_rank": (COUNT, "threads with which each rank computed"),
    "mpi": (TEXT, "MPI library"),
    "software": (TEXT, "versions of python, torch and numpy"),
    "inputs_sha256": (TEXT, "SHA-256 of the files that decide the fields, by the keys that name them, as JSON in a text"),
}
"""What a report has of the attributes of the ensemble's file."""
ADDED: dict[str, tuple[Node, str]] = {
    "speedup": (RATIO, "serial rounds over rounds; null where there were none"),
    "redundancy": (RATIO, "evaluations over those of the serial sampler; null where there were none"),
}
TIMED: dict[str, tuple[Node, str]] = {
    "ratio": (RATIO, "how many times as fast as the serial sampler on one rank; null where nothing tells"),
    "paid": ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "whether it took less time than members alone; null: unknown"),
}


def report_schema() -> Node:
    """Return the JSON Schema of a report. Keys that it does not know are refused."""
    whole = TypeAdapter(Report).json_schema(mode="serialization")
    definitions = whole.pop("$defs")
    for kind in (MemberReport, Residuals, Timing):
        describe(definitions[kind.__name__], kind)
    describe(whole, Report)
    extend(definitions["Timing"], TIMED)
    extend(whole, ATTRIBUTES | ADDED)
    config = schema()
    definitions |= config.pop("$defs")
    del config["$schema"]
    whole["properties"]["config"] = {"$ref": "#/$defs/Configuration"}
    whole["required"] = sorted(whole["properties"])
    definitions["Configuration"] = config | {"description": "the configuration, with all defaults"}
    return {"$schema": DIALECT, **whole, "title": f"report of parampi {__version__}", "$defs": definitions}


def describe(node: Node, kind: type) -> None:
    """Describe the properties of a class by its docstring, require all of them, and refuse others."""
    meanings = meanings_of(kind.__doc__ or "")
    for field in dataclasses.fields(kind):
        node["properties"][field.name].pop("title", None)
        if field.name in meanings:
            node["properties"][field.name]["description"] = meanings[field.name]
    node["description"] = (kind.__doc__ or "").partition("\n")[0]
    node["required"] = sorted(node["properties"])
    node["additionalProperties"] = False


def extend(node: Node, added: dict[str, tuple[Node, str]]) -> None:
    """Add properties, and what they mean."""
    for name, (kind, meaning) in added.items():
        node["properties"][name] = {**kind, "description": meaning}
    node["required"] = sorted(node["properties"])


def meanings_of(docstring: str) -> dict[str, str]:
    """Return what a docstring says of the fields of a class: names, two spaces or more, and their meaning."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.splitlines()[1:]:
        if entry := re.fullmatch(r"    ([a-z_]+(?:, [a-z_]+)*)  +(\S.*)", line):
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif names and re.fullmatch(r"     +\S.*", line):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            names = []
    return found
