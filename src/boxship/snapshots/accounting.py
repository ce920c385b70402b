"""Disk usage of a whole data root, by the child program: each byte in exactly one account."""

import os
from collections.abc import Mapping
from pathlib import Path

from boxship.snapshots.program import run_job
from boxship.sys.mount import view_without_mounts


async def account(root: Path, depths: Mapping[str, int]) -> dict[str, int]:
    """Bytes on the device below a folder, by path relative to it, as du counts them; what is mounted there does not
    count. `depths` says of folders ("" is the root) how many levels below them have an account for each entry; what
    lies deeper counts to the entry that it is in."""
    folder = view_without_mounts(str(root))
    try:
        job = {"kind": "account", "what": f"measure {root}", "depths": dict(depths)}
        found: dict[str, int] = await run_job(job, given=folder)
        return found
    finally:
        os.close(folder)
