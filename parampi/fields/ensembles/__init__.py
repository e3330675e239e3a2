"""Finished ensembles: opened as xarray data sets, set beside what came, and the files of their scores."""
