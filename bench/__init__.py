"""Measures Boxship's engine beside Docker and Podman, in one run on one machine. `make bench` runs it."""
