"""Images: what they are, what they are called, how they come in and go out.

An image is its config's digest; names point at manifests or indexes. Layers are unpacked when an image comes in, so
that a start is instant. This room knows no container: who uses an image is passed in as a value. It must never show an
image before all its parts are on the disk.
"""

from boxship.images.library import Images
from boxship.images.model import (
    HistoryEntry,
    Image,
    ImageUsage,
    Layer,
    LayerProgress,
    Layers,
    Loaded,
    Removal,
    Usage,
    Use,
)

__all__ = [
    "HistoryEntry",
    "Image",
    "ImageUsage",
    "Images",
    "Layer",
    "LayerProgress",
    "Layers",
    "Loaded",
    "Removal",
    "Usage",
    "Use",
]
