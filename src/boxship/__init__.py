"""Boxship: a container platform. Each folder here is a room; ARCHITECTURE.md says what may import what."""

__version__ = "0.1.0"
