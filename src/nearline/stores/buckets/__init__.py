"""Adapters of `Objects`, one file each, found by the scheme of their URL."""
