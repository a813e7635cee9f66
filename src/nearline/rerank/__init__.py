"""One file per rule: filters and arrangements of a ranked list."""
