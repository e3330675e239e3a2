"""Agreement in one process; with several ranks it is tested in tests/ranks/."""

import pytest

from parampi.errors import DataError, OutputError, UserError
from parampi.parallel.agree import broadcast_json, on_all, on_root, revive


def fails():
    raise DataError("no such file; give another")


def test_one_process_agrees_with_itself():
    assert broadcast_json(None, {"a": [1, None]}) == {"a": [1, None]}
    assert on_root(None, lambda: [1, "two"]) == [1, "two"]
    assert on_all(None, lambda: {1, 2}) == {1, 2}


@pytest.mark.parametrize("together", [on_root, on_all])
def test_a_user_error_keeps_its_kind_and_message(together):
    with pytest.raises(DataError, match=r"^no such file; give another$"):
        together(None, fails)


@pytest.mark.parametrize("together", [on_root, on_all])
def test_other_errors_come_through(together):
    with pytest.raises(ZeroDivisionError):
        together(None, lambda: 1 / 0)


def test_errors_are_revived_by_name():
    assert type(revive("OutputError", "full")) is OutputError and str(revive("OutputError", "full")) == "full"
    assert type(revive("SomethingElse", "odd")) is UserError
