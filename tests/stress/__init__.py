"""Random interleavings of everything callers may do to an engine at once."""
