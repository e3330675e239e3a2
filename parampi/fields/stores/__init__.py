"""Writing ensembles: the schema of their files, stores, merging and checking."""

from parampi.fields.stores.base import STORES, BaseStore, MemberFacts, Store, StoreTarget, register
from parampi.fields.stores.content import Content
from parampi.fields.stores.memory import MemoryStore
from parampi.fields.stores.merged import MergedStore
from parampi.fields.stores.mpio import MPIOStore
from parampi.fields.stores.netcdf import NetCDFStore
from parampi.fields.stores.schema import EnsembleSchema
from parampi.fields.stores.summary import Summary
from parampi.fields.stores.virtual import VirtualStore
from parampi.fields.stores.zarr_store import ZarrStore

__all__ = [
    "STORES",
    "BaseStore",
    "Content",
    "EnsembleSchema",
    "MPIOStore",
    "MemberFacts",
    "MemoryStore",
    "MergedStore",
    "NetCDFStore",
    "Store",
    "StoreTarget",
    "Summary",
    "VirtualStore",
    "ZarrStore",
    "register",
]
