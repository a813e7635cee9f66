"""A synthetic shop that knows the truth, to close the loop against."""
