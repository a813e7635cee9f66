"""One file per ranker."""
