"""Fields and files: statistics of data, inputs, and stores of ensembles. The only package that imports netCDF4."""

from parampi.fields.atomic_files import check_target, replacing
from parampi.fields.ensemble_axes import PER_CASE, Cases, EnsembleAxes, Leads
from parampi.fields.ensembles.forecasts import Channel, Forecasts, Truth, read_forecasts
from parampi.fields.field_dimensions import FieldDimensions
from parampi.fields.geometry import Geometry, geometry_of
from parampi.fields.inputs.conditions import Conditions
from parampi.fields.inputs.grids import GridMetadata
from parampi.fields.inputs.rollout import Rollout
from parampi.fields.inputs.samples import FileSamples
from parampi.fields.moments import Moments, moments
from parampi.fields.prior_files import read_spectrum, write_spectrum
from parampi.fields.spectra import radial_spectrum, wavenumbers
from parampi.fields.statistics import DatasetStatistics
from parampi.fields.stores.base import STORES, BaseStore, MemberFacts, Store, StoreTarget, lookup, register
from parampi.fields.stores.content import Content
from parampi.fields.stores.memory import MemoryStore
from parampi.fields.stores.netcdf import NetCDFStore
from parampi.fields.stores.reader import open_ensemble, read_members
from parampi.fields.stores.schema import EnsembleSchema

__all__ = [
    "PER_CASE",
    "STORES",
    "BaseStore",
    "Cases",
    "Channel",
    "Conditions",
    "Content",
    "DatasetStatistics",
    "EnsembleAxes",
    "EnsembleSchema",
    "FieldDimensions",
    "FileSamples",
    "Forecasts",
    "Geometry",
    "GridMetadata",
    "Leads",
    "MemberFacts",
    "MemoryStore",
    "Moments",
    "NetCDFStore",
    "Rollout",
    "Store",
    "StoreTarget",
    "Truth",
    "check_target",
    "geometry_of",
    "lookup",
    "moments",
    "open_ensemble",
    "radial_spectrum",
    "read_forecasts",
    "read_members",
    "read_spectrum",
    "register",
    "replacing",
    "wavenumbers",
    "write_spectrum",
]
