"""Benchmarks that anyone can repeat: `parampi bench rounds`, `parampi bench overhead`."""
