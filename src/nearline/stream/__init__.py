"""Lane: log to folds to online state."""
