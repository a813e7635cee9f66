"""Stage 0 of the ladder: stream, serving and the background jobs in one process and its children."""
