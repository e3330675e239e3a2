"""YAML as configurations use it: `1e-3` is a number, `2001-01-01` a text, and a key stands once in a mapping."""

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
PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")
"""Kinds of data."""
DEEPEST, LARGEST, LONGEST_INT = 64, 1_000_000, 1000
"""Levels of nesting, values, and bits of an integer, that a configuration may have."""
TOO_DEEP = f"it is nested more than {DEEPEST} levels deep; a configuration needs a few"


class PathText(str):
    """The path that `!path` says a text is: relative to the file that it stands in."""


class Loader(yaml.SafeLoader):
    """Reader of plain data: nothing that a file says is run, and nothing in it is replaced."""

    def fetch_flow_collection_start(self, kind: Any) -> None:
        if self.flow_level >= DEEPEST:
            raise yaml.YAMLError(TOO_DEEP)
        super().fetch_flow_collection_start(kind)

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            measure(node, {}, DEEPEST)
        return node

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

    def whole(self, node: yaml.ScalarNode) -> int:
        value = int(self.construct_yaml_int(node))
        if value.bit_length() > LONGEST_INT:
            raise yaml.constructor.ConstructorError(None, None, "found a whole number of too many digits", node.start_mark)
        return value

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

    def path(self, node: yaml.Node) -> PathText:
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            raise yaml.constructor.ConstructorError(
                None, None, "found !path without a path; write !path table.nc", node.start_mark
            )
        return PathText(self.text(node))


Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}
Loader.yaml_constructors = {
    tag: construct
    for tag, construct in Loader.yaml_constructors.items()
    if tag is None or tag.removeprefix("tag:yaml.org,2002:") in PLAIN
}
Loader.add_constructor("tag:yaml.org,2002:str", Loader.text)
Loader.add_constructor("tag:yaml.org,2002:int", Loader.whole)
Loader.add_constructor("!path", Loader.path)


def parse(source: Any) -> Any:
    """Return the data of a text or an open file. Raises yaml.YAMLError."""
    try:
        return yaml.load(source, Loader)
    except RecursionError:
        raise yaml.YAMLError(TOO_DEEP) from None
    except UnicodeDecodeError:
        raise
    except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:  # numbers of too many digits, tags
        raise yaml.YAMLError(f"a value cannot be read ({error}); write another one") from None


def measure(node: yaml.Node, sizes: dict[int, int | None], depth: int) -> int:
    """Return how many values a node stands for, those of anchors wherever they are named; `sizes` has those that are known, and
    None for the nodes around this one. Raises yaml.YAMLError."""
    if depth == 0:
        raise yaml.YAMLError(TOO_DEEP)
    size = sizes.get(id(node), 1)
    if size is None:
        raise yaml.YAMLError("an anchor stands for something that holds the anchor itself; write it out")
    if isinstance(node, yaml.ScalarNode) or id(node) in sizes:
        return size
    sizes[id(node)] = None
    children = [one for pair in node.value for one in pair] if isinstance(node, yaml.MappingNode) else node.value
    size = 1 + sum(measure(child, sizes, depth - 1) for child in children)
    if size > LARGEST:
        raise yaml.YAMLError(f"anchors stand for more than {LARGEST} values; write fewer")
    sizes[id(node)] = size
    return size
