"""Containers, execs, events, stats, health and restarts: what makes and heals containers out of the rooms below.

It knows no HTTP, no Docker JSON and no cluster.
"""

from boxship.engine.engine import Engine

__all__ = ["Engine"]
