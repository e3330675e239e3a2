"""Snapshots of members out of what ranks held, without files."""

from parampi.engine.snapshot import MemberSnapshot
from parampi.engine.state import EngineState


def snapshots(states: list[EngineState]) -> list[MemberSnapshot]:
    """One for each member, from the states of all ranks of a group, rank 0's first."""
    return [snapshot(states, column) for column in range(len(states[0].begun))]


def snapshot(states, column) -> MemberSnapshot:
    names = frozenset(name for state in states for name, kept in state.fields.items() if kept.rows.numel())

    def rows(name, start, stop):
        parts = [state.fields[name] for state in states if name in state.fields and state.fields[name].rows.numel()]
        like = parts[0].rows[:0, column]
        total = like.new_zeros((stop - start, *like.shape[1:]))
        held = set()
        for part in parts:
            begin = int(part.begin[column])
            for point in range(max(start, begin), min(stop, begin + len(part.rows))):
                total[point - start] = part.rows[point - begin, column]
                held.add(point)
        assert held == set(range(start, stop)), (name, start, stop, held)
        return total

    numbers = {name: values[column].clone() for name, values in states[0].numbers.items()}
    return MemberSnapshot(numbers, names, rows)
