"""Adapters of the store of user rows, one file each, found by the scheme of their URL."""
