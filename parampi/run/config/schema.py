"""The keys of a configuration as a JSON Schema, for editors, and as tables, for the documentation: both of `keys.yaml`."""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from parampi import __version__
from parampi.run.config.choices import CHOICES
from parampi.run.config.sections import RunConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SHORT: dict[str, dict[str, Any]] = {
    "parallel": {"const": "auto"},
    "model.prepare": {"type": "string"},
    "model.finish": {"type": "string"},
    "checkpoint.max_walltime": {"type": "string"},
    "parallel.hang_timeout": {"type": "string"},
}
"""What may be written in the place of a value."""
Node = dict[str, Any]


@dataclass(frozen=True)
class Key:
    """Meaning of a key, in Markdown, and its default as the tables show it; "" where the key must be given."""

    meaning: str
    default: str = ""


def keys() -> dict[str, Key]:
    """Return all keys by their dotted names."""
    text = (files("parampi.run.config") / "keys.yaml").read_text(encoding="utf-8")
    return {name: Key(**entry) for name, entry in yaml.safe_load(text).items()}


def table(sections: list[str]) -> str:
    """Return the table of the keys of sections, in Markdown."""
    rows = [
        f"| `{name}` | {key.default} | {key.meaning} |".replace("|  |", "| |")
        for name, key in keys().items()
        if name.partition(".")[0] in sections
    ]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows]) + "\n"


def schema() -> Node:
    """Return the JSON Schema of a configuration file, with what each key means."""
    whole = RunConfig.model_json_schema()
    describe(whole, whole, keys(), "")
    title = f"configuration of parampi {__version__}"
    return {"$schema": DIALECT, "title": title, **{name: part for name, part in whole.items() if name != "title"}}


def describe(whole: Node, node: Node, known: dict[str, Key], prefix: str) -> None:
    """Describe the properties of a section, and of the sections in it."""
    for name, child in node["properties"].items():
        dotted = prefix + name
        section = section_of(whole, child)
        child.pop("title", None)
        if section is not None:
            describe(whole, section, known, f"{dotted}.")
        elif dotted in known:
            child["description"] = plain(known[dotted].meaning)
            if known[dotted].default and name in node.get("required", []):
                node["required"].remove(name)
        if name in CHOICES and CHOICES[name].section == prefix.rstrip("."):
            child["anyOf"] = [named(name)] + [{"type": "null"}] * ("default" in child)
        if dotted in SHORT:
            loosen(child, SHORT[dotted])


def section_of(whole: Node, node: Node) -> Node | None:
    """Return the section that a property is, also where it may be left out; None for a plain value."""
    for kind in (node, *node.get("anyOf", [])):
        if "$ref" in kind:
            section: Node = whole["$defs"][kind["$ref"].rpartition("/")[2]]
            return section if "properties" in section else None
    return None


def named(option: str) -> Node:
    """Return the schema of a value that is a name and its options; plugins may register more names than are listed."""
    choice = CHOICES[option]
    names = {"anyOf": [{"enum": sorted(choice.registry)}, {"type": "string"}]}
    return {"type": "object", "properties": {choice.key: names}, "required": [choice.key]}


def loosen(child: Node, short: Node) -> None:
    """Let another kind of value stand in the place of a property's."""
    kinds = child.pop("anyOf", None)
    if kinds is None:
        moved = {name: child.pop(name) for name in list(child) if name not in ("description", "default")}
        kinds = [moved]
    child["anyOf"] = [*kinds, short]


def plain(markdown: str) -> str:
    """Return Markdown without its links."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", markdown).replace("`", "")
