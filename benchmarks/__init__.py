"""Programs that measure Nearline; `make bench` runs them all."""
