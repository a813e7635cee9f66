"""One file per candidate source."""
