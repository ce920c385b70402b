"""Blobs by digest under one folder, and the durable records that name them.

A blob is visible only when it is whole, verified and on the disk: ingest writes to a file of its own, hashes on the
way, synchronises, then renames. This room must never change a blob, and never takes one away unless it is told to.
"""

from boxship.content.blobs import Content, Ingest
from boxship.content.references import References

__all__ = ["Content", "Ingest", "References"]
