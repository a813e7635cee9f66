"""Adapters of the port `Subscriber`, one file each, named by the scheme of its URLs."""
