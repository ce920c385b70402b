"""The values of lower rooms that the engine hands out, so that doors name them without reaching below the engine."""

from boxship.images.model import HistoryEntry, Image, LayerProgress, Loaded
from boxship.images.remote.client import domain_of
from boxship.images.remote.credentials import from_fields as credentials_from
from boxship.images.remote.model import Credentials, Pulled, PullStep, Pushed, PushStep
from boxship.network.model import Network
from boxship.runtime.machine import GroupSample, MachineSample
from boxship.snapshots.archive import PathStat
from boxship.volumes.model import Volume

__all__ = [
    "Credentials",
    "GroupSample",
    "HistoryEntry",
    "Image",
    "LayerProgress",
    "Loaded",
    "MachineSample",
    "Network",
    "PathStat",
    "PullStep",
    "Pulled",
    "PushStep",
    "Pushed",
    "Volume",
    "credentials_from",
    "domain_of",
]
