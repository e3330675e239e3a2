"""The job of `parampi run`: from a configuration to files."""
