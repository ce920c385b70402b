"""Layers in a snapshots room."""

from pathlib import Path
from typing import Any

from snapshot_archives import (
    chain_id,
    stream,
)

from boxship.snapshots import Snapshots


def folder_of(room: Snapshots, number: int) -> Path:
    return room.rootfs("x").parent.parent.parent / "layers" / chain_id(number)[7:] / "fs"


async def apply(room: Snapshots, number: int, parent: int, data: bytes, **options: Any) -> int:
    return await room.apply(chain_id(number), chain_id(parent) if parent else None, stream(data), **options)
