"""What the adapters for PostgreSQL share: connections, tables, and those who follow the log."""
