"""Garbage collections while members are drawn."""

import gc

from parampi.parallel.collector import objects_frozen


def test_what_a_process_holds_is_left_out_of_collections_and_comes_back():
    before = gc.get_freeze_count()
    with objects_frozen():
        assert gc.get_freeze_count() > before
        inner = gc.get_freeze_count()
        with objects_frozen():
            pass
        assert gc.get_freeze_count() >= inner  # the outer one's are still frozen
    assert (gc.get_freeze_count() > 0) == (before > 0)
