"""The values of lower rooms that the engine hands out, so that doors name them without reaching below the engine."""

from boxship.images.model import HistoryEntry, Image, LayerProgress, Loaded
from boxship.network.model import Network
from boxship.snapshots.archive import PathStat
from boxship.volumes.model import Volume

__all__ = ["HistoryEntry", "Image", "LayerProgress", "Loaded", "Network", "PathStat", "Volume"]
