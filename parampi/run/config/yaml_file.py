"""YAML as configurations use it: `1e-3` is a number, `2001-01-01` a text, and a key stands once in a mapping."""

import json
import re
from typing import Any

import yaml

FLOAT = re.compile(
    r"""^(?:
     [-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)
    |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
"""YAML 1.1 alone takes 1e-3, without a point, for a text."""


class Loader(yaml.SafeLoader):
    """Reader of plain data: nothing that a file says is run, and nothing in it is replaced."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        names: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                what = "list" if isinstance(key, yaml.SequenceNode) else "mapping"
                raise yaml.constructor.ConstructorError(
                    "while constructing a mapping", node.start_mark, f"found a {what} as a key; write a text", key.start_mark
                )
            if key.value in names:
                raise yaml.constructor.ConstructorError(
                    "while constructing a mapping", node.start_mark, f"found duplicate key {key.value}", key.start_mark
                )
            names.add(key.value)
        return node

    def text(self, node: yaml.ScalarNode) -> str:
        if "${" in node.value:
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"found {node.value}, but nothing is put in the place of ${{...}}; write the value out, or give "
                "the key on the command line",
                node.start_mark,
            )
        return str(node.value)


Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}
Loader.add_constructor("tag:yaml.org,2002:str", Loader.text)


def parse(source: Any) -> Any:
    """Return the data of a text or an open file. Raises yaml.YAMLError."""
    data = yaml.load(source, Loader)
    try:
        json.dumps(data, default=str)
    except (ValueError, RecursionError):
        raise yaml.YAMLError("an anchor stands for something that holds the anchor itself; write it out") from None
    return data
