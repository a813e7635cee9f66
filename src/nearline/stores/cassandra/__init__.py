"""What the adapters for Cassandra share: a session that is there when it is asked for."""
