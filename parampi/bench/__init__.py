"""Benchmarks that anyone can repeat: `parampi bench --help` lists them."""
