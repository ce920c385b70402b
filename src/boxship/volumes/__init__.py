"""Named volumes of the local driver (`volumes.Volumes`), and what users write about mounts (`resolve`)."""

from boxship.volumes.model import Volume
from boxship.volumes.volumes import Volumes

__all__ = ["Volume", "Volumes"]
