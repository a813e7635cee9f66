"""Real engines on this machine, for tests, benchmarks and the demo: each installs itself once, and starts on loopback."""
