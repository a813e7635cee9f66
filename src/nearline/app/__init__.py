"""The application definition and the deployment settings."""
