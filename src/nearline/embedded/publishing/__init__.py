"""Lists made before they are asked for: `nearline publish`."""
