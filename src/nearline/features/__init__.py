"""One file per family of folds: the stream's update and the request's read."""
