"""The Docker archive API on a container's root: look at a path, read it, write it.

`root` is a folder or /proc/PID/root of a running container. For a stopped one `mounts` are made inside the child's own
mount namespace first: the container's overlay (`Snapshots.view`) and its volumes as binds whose targets are names
inside the root. With `users`, the path of the user namespace that a running container has, ids are as they are in
there. A missing path raises NotFound with the path as message; a read-only place raises Denied.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from boxship.snapshots.program import plain_mounts, run_job, stream_job
from boxship.spec.mount import Mount


class PathStat(msgspec.Struct, frozen=True):
    """A path of a container. `mode` is st_mode, `mtime` nanoseconds, `link_target` where a symlink leads inside it."""

    name: str
    size: int
    mode: int
    mtime: int
    link_target: str = ""


async def stat(root: str, path: str, *, mounts: tuple[Mount, ...] = (), users: str = "") -> PathStat:
    """The file at `path`; a link in its last part is not followed, unless "/" or "/." stands behind it."""
    job = _job("archive-stat", f"look at {path}", root, path, mounts, users)
    return msgspec.convert(await run_job(job), PathStat)


def get(
    root: str, path: str, *, name: str = "", mounts: tuple[Mount, ...] = (), users: str = ""
) -> AsyncIterator[bytes]:
    """A tar archive of the path; its top entry is `name`, or else the path's last part."""
    return stream_job({**_job("archive-get", f"read {path}", root, path, mounts, users), "name": name})


async def put(
    root: str,
    path: str,
    archive: AsyncIterator[bytes],
    *,
    no_overwrite_dir_non_dir: bool = False,
    owner: tuple[int, int] | None = None,
    mounts: tuple[Mount, ...] = (),
    limit_bytes: int = 0,
    users: str = "",
) -> None:
    """Unpack an archive (also compressed) into the existing folder `path`.

    With `owner` (uid, gid) all files belong to it instead of the owners that the archive names.
    `no_overwrite_dir_non_dir` refuses to put a file in the place of a folder and the reverse. What a failing
    archive has unpacked before stays. A decompressed archive longer than `limit_bytes` (0: any) is Invalid.
    """
    job = _job("archive-put", f"write to {path}", root, path, mounts, users)
    await run_job(
        {**job, "strict": no_overwrite_dir_non_dir, "owner": owner, "limit": limit_bytes},
        archive,
    )


def _job(kind: str, what: str, root: str, path: str, mounts: tuple[Mount, ...], users: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "what": what,
        "root": root,
        "path": path,
        "mounts": plain_mounts(mounts),
        "users": users,
    }
