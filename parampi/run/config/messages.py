"""Messages about a configuration, a line for each wrong key: the value, and what is allowed."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from parampi.run.config.choices import CHOICES, model_of
from parampi.run.config.sections import RunConfig

LONGEST = 300
"""Characters of a value that are shown."""


def explain(error: ValidationError, tree: dict[str, Any]) -> str:
    """Return a line for each of pydantic's findings about a configuration."""
    return "\n  ".join(line(finding, tree) for finding in error.errors())


def line(finding: Any, tree: dict[str, Any]) -> str:
    key, kind, value = ".".join(map(str, finding["loc"])), finding["type"], finding["input"]
    if kind == "extra_forbidden":
        return f"{key} is not a known key{suggestion(finding['loc'], tree)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "union_tag_not_found":
        return f"{key} needs a key {finding['ctx']['discriminator']} that says which one"
    if kind == "union_tag_invalid":
        choice, tag = CHOICES[str(finding["loc"][-1])], finding["ctx"]["tag"]
        return f"{key}.{choice.key} = {tag!r} is not a known {choice.registry.kind}; {choice.registry.choices(tag)}"
    message = str(finding["msg"]).removeprefix("Value error, ")
    return f"{key} = {shown(value)}: {message[0].lower()}{message[1:]}"


def shown(value: Any) -> str:
    """Return a value as a configuration has it, the beginning of a long one."""
    try:
        text = json.dumps(value, default=str)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def suggestion(place: Sequence[Any], tree: dict[str, Any]) -> str:
    """Return the keys that are allowed where an unknown one stands, the nearest first."""
    model: Any = RunConfig
    for depth, name in enumerate(place[:-1]):
        if name in CHOICES and tuple(place[:depth]) == (CHOICES[name].section,):
            model = model_of(name, tree[place[0]][name])
        else:
            model = model.model_fields[name].annotation
    known = list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    return (f"; did you mean {near[0]}?" if near else "") + (f" (allowed: {', '.join(known)})" if known else "")
