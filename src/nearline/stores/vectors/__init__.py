"""Adapters of the index of vectors, one file each, found by the scheme of their URL."""
