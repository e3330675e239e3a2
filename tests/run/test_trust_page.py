"""Every sentence of docs/howto/trust.md is held by a test; a new sentence needs one."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOLDS = {
    # the table
    "A configuration of your own is obeyed": "test_executed.test_of_all_that_a_run_reads_only_the_network_is_executed",
    "Everything else that a run reads is data": "test_executed.test_of_all_that_a_run_reads_only_the_network_is_executed",
    "your configuration (YAML": "test_executed.test_tags_of_yaml_are_refused",
    "the network's source (`model.network`)": "test_trust.test_other_kinds_are_refused_before_they_are_called",
    "plugins (`model.plugins`": "test_executed.test_a_plugin_that_the_configuration_names_is_executed_too",
    "weights (safetensors, checkpoints) and their card": "test_executed.test_a_pickle_in_the_place_of_any_file_is_not_opened",
    "programs (`.pt2`, TorchScript)": "../networks/test_programs.test_programs_that_would_run_more_are_refused",
    "statistics, conditions, static fields, grids": "test_executed.test_a_pickle_in_the_place_of_any_file_is_not_opened",
    "an ensemble that is drawn again": "test_rerun.test_other_inputs_are_refused",
    "a checkpoint that is resumed": "test_records.test_damaged_records_are_noticed",
    # the network
    "`model.network` names a class": "test_trust.test_classes_and_functions_of_networks_are_taken",
    "Anything else is refused for what it is": "test_trust.test_other_kinds_are_refused_before_they_are_called",
    # files of others
    "So before they import any of it": "test_trust.test_rerun_runs_no_code_that_the_file_alone_names",
    "They run them only where": "test_trust.test_what_it_was_drawn_with_is_run",
    "it is a file of Python of yours": "test_trust.test_no_installed_module_is_run_whatever_its_digest",
    "its SHA-256 is the one that the file stores": "test_trust.test_what_a_tree_names",
    "A module by its name is not run": "test_trust.test_no_installed_module_is_run_whatever_its_digest",
    "Where something is amiss they say": "test_trust.test_resume_runs_no_code_that_the_checkpoint_alone_names",
    "bring the file back that was used": "test_trust.test_what_it_was_drawn_with_is_run",
    "name the code yourself": "test_trust.test_the_users_own_word_is_enough",
    "say `--trust`": "test_trust.test_the_users_own_word_is_enough",
    "Then it can name any file of Python on your": "test_trust.test_a_digest_that_was_crafted_too_leads_to_a_class_or_nothing",
    # what the network imports
    "A file of Python can import modules": "test_user_sources.test_a_network_in_a_package",
    "These files are digested too": "test_user_sources.test_what_was_imported_is_recorded",
    "`rerun` and `resume` compare the files": "test_user_sources.test_another_source_is_refused",
    "They refuse a file that has changed": "test_user_sources.test_a_source_that_is_new_is_refused",
    "Python's caches": "test_user_sources.test_a_second_run_of_one_process_reads_sources_anew",
    "Installed packages elsewhere": "test_user_sources.test_what_is_installed_is_not_watched",
    "The versions of torch and parampi": "test_records.test_other_versions_are_said",
    # what is written
    "A run writes below": "test_executed.test_of_all_that_a_run_reads_only_the_network_is_executed",
    "`parampi resume` replaces the run's own files": "test_earlier_files.test_what_has_appeared_since_is_not_replaced",
    "An output never replaces a file": "test_executed.test_an_output_never_replaces_a_file_that_the_run_reads",
}
"""How sentences begin, and the test that holds each."""
SAID_ONLY = (
    "This page says for each kind of file",
    "An ensemble file holds the configuration it was drawn with",
    "Whoever made the file may have put anything there",
    "Then you have three choices",
    "What this does not stop",
    "Whoever makes up a file",
    "For files of people you do not know",
)
"""Sentences that say what others mean, or whom not to believe."""


def sentences() -> list[str]:
    """Return rows of the table, points of lists and sentences of paragraphs."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / "docs" / "howto" / "trust.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    pieces = []
    for block in re.split(r"\n\s*\n", text):
        if block.startswith("#"):
            continue
        if block.lstrip().startswith("|"):
            pieces += [row.strip("| ") for row in block.strip().splitlines()[2:]]
        elif block.lstrip().startswith("* "):
            pieces += [" ".join(point.split()) for point in re.split(r"^\* ", block.strip(), flags=re.MULTILINE) if point]
        else:
            plain = " ".join(block.split()).replace("**", "")
            pieces += [one for one in re.split(r"(?<=[.:])\s+(?=[A-Z`])", plain) if one]
    return pieces


@pytest.mark.parametrize("sentence", sentences())
def test_it_is_held(sentence):
    names = [name for begin, name in HOLDS.items() if sentence.startswith(begin)]
    if not names:
        assert sentence.startswith(SAID_ONLY), f"no test holds: {sentence}"
        return
    module, _, function = names[0].rpartition(".")
    source = (ROOT / "tests" / "run" / f"{module}.py").read_text()
    assert f"def {function}(" in source, f"{names[0]} is no test"


def test_no_line_here_is_left_over():
    spoken = sentences()
    for begin in (*HOLDS, *SAID_ONLY):
        assert any(one.startswith(begin) for one in spoken), f"the page has no sentence that begins with {begin!r}"
