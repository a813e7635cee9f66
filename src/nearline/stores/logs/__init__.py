"""Adapters of the log, one file each, found by the scheme of their URL."""
