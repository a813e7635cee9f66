"""What the adapters for MySQL share: connections."""
