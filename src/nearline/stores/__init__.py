"""Ports and their adapters: log, lake, online state, catalogue, release registry."""
