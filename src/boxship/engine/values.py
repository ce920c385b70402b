"""The values of lower rooms that the engine hands out, so that doors name them without reaching below the engine."""

from boxship.images import Image
from boxship.network import Network
from boxship.snapshots.archive import PathStat
from boxship.volumes import Volume

__all__ = ["Image", "Network", "PathStat", "Volume"]
