"""Engines: how the points of a group's members are advanced, round by round, until they agree."""
