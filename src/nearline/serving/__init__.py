"""Lane: HTTP, auth, budgets; impressions return to the log."""
