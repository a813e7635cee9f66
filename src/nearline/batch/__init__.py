"""Lane: lake and log to replay, fit, evaluate, gate, publish."""
