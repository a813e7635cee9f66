"""Searching vectors in this process: what the adapters `memory:` and `faiss:` are made of."""
