"""Writing ensembles: the schema of their files, stores, merging and checking."""
