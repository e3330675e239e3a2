"""Configurations that are changed at random: each is taken, or refused in one line and soon."""

import random
import resource
import time
from pathlib import Path
from typing import Any

import yaml

from parampi.errors import UserError
from parampi.run.config import load
from tests.campaign.tally import Tally
from tests.small import write_conditions, write_project

SECONDS, MEGABYTES = 2.0, 500
"""Most that reading a configuration may take."""
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 10**18, 10**400, float("inf"), float("nan"), "", "x", "a/b", "..", "/", "~", "%d", "{", "a" * 300,
    "net.py", "net.py:torch", ".:x", "é", "a\0b", [], [1], [[1]], {}, {"name": "x"}, {1: 2}, "1e999", "null", "10:00:00", b"x",
]  # fmt: skip


def campaign(folder: Path, count: int, seed: int) -> Tally:
    """Read `count` mutations of a configuration that has every section."""
    chance, tally = random.Random(seed), Tally()
    write_conditions(folder / "cond.nc")
    path = write_project(folder, condition__files="cond.nc", condition__variables=["vorticity"], parallel__mode="fast",
                         checkpoint__every=30)  # fmt: skip
    whole = path.read_text()
    load(path)
    for number in range(count):
        tree = yaml.safe_load(whole)
        text = mutated_text(whole, chance) if chance.random() < 0.3 else yaml.dump(mutate(tree, chance), allow_unicode=True)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        judge(f"mutation {number}: {text[:300]!r}", path, tally)
    return tally


def judge(place: str, path: Path, tally: Tally) -> None:
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        load(path)
        tally.outcomes["taken"] += 1
    except UserError as error:
        tally.outcomes["refused"] += 1
        if len(str(error).encode()) > 20_000:
            tally.troubles.append(f"{place}: a message of {len(str(error))} characters")
    except BaseException as error:
        tally.troubles.append(f"{place}: {type(error).__name__}: {str(error)[:200]}")
    seconds, megabytes = time.monotonic() - begin, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if seconds > SECONDS or megabytes > MEGABYTES:
        tally.troubles.append(f"{place}: took {seconds:.1f} s and {megabytes:.0f} MB")


def mutate(tree: Any, chance: random.Random) -> Any:
    """Change one to three values, keys or sections of a tree."""
    for _ in range(chance.randint(1, 3)):
        section = tree
        while isinstance(section, dict) and section and chance.random() < 0.7:
            key = chance.choice(list(section))
            if not isinstance(section[key], dict) or not section[key]:
                break
            section = section[key]
        if not isinstance(section, dict) or not section:
            continue
        key, change = (
            chance.choice(list(section)),
            chance.choice(["value", "value", "value", "remove", "rename", "deep", "copy"]),
        )
        if change == "value":
            section[key] = chance.choice(VALUES)
        elif change == "remove":
            del section[key]
        elif change == "rename":
            section[chance.choice(["x", f"{key}s", key.upper() if isinstance(key, str) else "y", 7])] = section.pop(key)
        elif change == "deep":
            section[key] = nested(chance.choice([3, 50, 500]))
        else:
            section[key] = tree.get(chance.choice(list(tree))) if isinstance(tree, dict) and tree else None
    return tree


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(min(depth, 300)):
        value = {"a": value}
    return value


def mutated_text(text: str, chance: random.Random) -> str:
    """Change characters, lines and indentation."""
    place, size = chance.randrange(len(text)), chance.randrange(1, 12)
    kind = chance.choice(["drop", "double", "insert", "deep", "digits"])
    if kind == "drop":
        return text[:place] + text[place + size :]
    if kind == "double":
        return text[:place] + text[place - size :]
    if kind == "deep":
        return text + "extra: " + "{a: " * 500 + "1" + "}" * 500
    if kind == "digits":
        return text.replace("seed: 3", "seed: " + "9" * 5000)
    return (
        text[:place]
        + chance.choice(["&a ", "*a", "!!python/object:os.system ", "\t", "- ", ": ", "{", "]", "'", "#", "\u2028", "<<: "])
        + text[place:]
    )
