"""The spectral solver."""
