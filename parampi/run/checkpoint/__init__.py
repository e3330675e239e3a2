"""Checkpoints of a run: their folder, how a group's rounds are written, and when."""
