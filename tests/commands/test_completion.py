"""What a shell completes, asked as shells ask."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from parampi.commands.main import VERBS
from parampi.run.config.schema import keys

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
COMMAND = ("-c", "import sys; from parampi.__main__ import main; sys.argv[0] = 'parampi'; sys.exit(main())")


def shell(**environment):
    """What `parampi` prints where a shell asks it."""
    done = subprocess.run(
        [sys.executable, *COMMAND],
        env={"PYTHONPATH": str(PAGE.parents[1]), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not done.stderr, done.stderr
    return done.stdout


def completed(monkeypatch, capsys, line):
    """The words that complete the last one of a line."""
    from parampi.__main__ import main

    words = line.split(" ")
    for name, value in (("_PARAMPI_COMPLETE", "bash_complete"), ("COMP_WORDS", line), ("COMP_CWORD", str(len(words) - 1))):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["parampi"])
    with pytest.raises(SystemExit):
        main([])
    return [said.partition(",")[2] for said in capsys.readouterr().out.split()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("parampi in", ["info", "init"]),
        ("parampi ", list(VERBS)),
        ("parampi run --progress ", ["auto", "bar", "lines"]),
        ("parampi run --over", ["--overwrite"]),
        ("parampi bench sca", ["scaling", "scan"]),
        ("parampi run run.yaml sampling.mem", ["sampling.members="]),
        ("parampi resume output sampling.mem", []),
        ("parampi resume output parallel.time", ["parallel.time_ranks="]),
    ],
)
def test_words_are_completed(monkeypatch, capsys, line, words):
    assert completed(monkeypatch, capsys, line) == words


def test_every_key_is_completed(monkeypatch, capsys):
    assert completed(monkeypatch, capsys, "parampi run run.yaml model.") == [
        f"{name}=" for name in keys() if name[:6] == "model."
    ]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_lines_of_the_page_make_a_script(name):
    (line,) = re.findall(rf"_PARAMPI_COMPLETE={name}_source parampi", PAGE.read_text())
    variable, value = line.split(" ")[0].split("=")
    assert "_parampi_completion" in shell(**{variable: value, "PATH": os.defpath})
