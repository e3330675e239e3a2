"""Campaigns of bad days: hundreds of kills, of damaged bytes and of mutated configurations, by `python -m tests.campaign`."""
