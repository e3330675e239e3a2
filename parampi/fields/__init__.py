"""Fields and files: statistics of the data, and stores of ensembles. The only package that imports netCDF4."""

from parampi.fields.conditions import Conditions
from parampi.fields.ensemble import open_ensemble, read_members
from parampi.fields.gather import NetCDFStore
from parampi.fields.moments import Moments, moments
from parampi.fields.outline import Outline
from parampi.fields.places import PER_CASE, Cases, Leads, Places
from parampi.fields.rollout import Rollout
from parampi.fields.samples import FileSamples
from parampi.fields.spectra import read_spectrum, write_spectrum
from parampi.fields.spectrum import radial_spectrum, wavenumbers
from parampi.fields.statistics import Statistics
from parampi.fields.store import MemberFacts, MemoryStore, Store
from parampi.fields.summary import Content
from parampi.fields.target import check_target

__all__ = [
    "PER_CASE", "Cases", "Conditions", "Content", "FileSamples", "Leads", "MemberFacts", "MemoryStore", "Moments",
    "NetCDFStore", "Outline", "Places", "Rollout", "Statistics", "Store", "check_target", "moments", "open_ensemble",
    "radial_spectrum", "read_members", "read_spectrum", "wavenumbers", "write_spectrum",
]  # fmt: skip
