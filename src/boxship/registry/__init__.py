"""The registry: repositories of manifests, tags and blobs on the engine's own content store.

It keeps records (which repository has which manifest, tag and fresh blob) and claims the bytes that they name; the
bytes lie in the content store, once, whoever else uses them. This room must never know HTTP, and never touch a blob's
file but through the content room.
"""

from boxship.registry.local import LocalImages
from boxship.registry.model import Actor, Settings
from boxship.registry.registry import Registry

__all__ = ["Actor", "LocalImages", "Registry", "Settings"]
