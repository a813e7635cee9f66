"""What the adapters for Kafka share: its topics, connections, and readers."""
