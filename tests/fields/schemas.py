"""Schemas of small ensembles."""

from parampi.fields import EnsembleAxes, EnsembleSchema


def schema_of(statistics, members, seed=3, *, cases=None, leads=None, **options):
    """A schema of members, by their numbers; `options` are `EnsembleSchema`'s."""
    return EnsembleSchema(statistics, EnsembleAxes(list(members), cases, leads), seed=seed, **options)
