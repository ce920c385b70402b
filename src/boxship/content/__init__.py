"""Blobs by digest under one folder, the durable records that name them, and what decides how long they live.

A blob is visible only when it is whole, verified and on the disk: ingest writes to a file of its own, hashes on the
way, synchronises, then renames. This room must never change a blob, and never takes one away that somebody claims.
"""

from boxship.content.blobs import Content, open_ingest
from boxship.content.garbage import Garbage, Lease, layer_key
from boxship.content.ingest import Ingest, Partial
from boxship.content.pouring import Pouring
from boxship.content.references import References

__all__ = ["Content", "Garbage", "Ingest", "Lease", "Partial", "Pouring", "References", "layer_key", "open_ingest"]
