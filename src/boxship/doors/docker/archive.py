"""Copying files into and out of containers: HEAD, GET and PUT of an archive, export, changes."""

import base64
import stat

import msgspec

from boxship.doors.docker.call import Call, reply, rfc3339
from boxship.doors.docker.router import Route
from boxship.errors import Invalid
from boxship.transport.exchange import Reply

TAR = "application/x-tar"
ENCODINGS = ("", "identity", "gzip", "bzip2", "xz")
# Go's os.FileMode keeps the kind of a file in its upper bits; clients of the header read those.
KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
EXTRAS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def go_mode(mode: int) -> int:
    """st_mode as Go's os.FileMode."""
    bits = KINDS.get(stat.S_IFMT(mode), 0) | (mode & 0o777)
    return bits | sum(go for unix, go in EXTRAS.items() if mode & unix)


def path_of(call: Call) -> str:
    path = call.text("path")
    if not path:
        raise Invalid("bad parameter: path cannot be empty")
    if "\0" in path:
        raise Invalid("bad parameter: path holds a NUL character")
    return path


async def stat_headers(call: Call, path: str) -> dict[str, str]:
    """The header that tells what is at the path."""
    found = await call.engine.files.stat(call.id, path)
    shown = {
        "name": found.name,
        "size": found.size,
        "mode": go_mode(found.mode),
        "mtime": rfc3339(found.mtime),
        "linkTarget": found.link_target,
    }
    return {"X-Docker-Container-Path-Stat": base64.b64encode(msgspec.json.encode(shown)).decode()}


async def head(call: Call) -> Reply:
    return Reply(200, await stat_headers(call, path_of(call)))


async def get(call: Call) -> Reply:
    path = path_of(call)
    headers = await stat_headers(call, path)
    return Reply(200, {"Content-Type": TAR, **headers}, call.engine.files.get(call.id, path))


async def put(call: Call) -> Reply:
    path = path_of(call)
    encoding = call.request.headers.get("Content-Encoding", "").lower()
    if encoding not in ENCODINGS:
        raise Invalid(f"unsupported Content-Encoding: {encoding}")
    await call.engine.files.put(
        call.id,
        path,
        call.request.chunks(),
        no_overwrite_dir_non_dir=call.flag("noOverwriteDirNonDir"),
        copy_uid_gid=call.flag("copyUIDGID"),
    )
    return Reply(200)


async def export(call: Call) -> Reply:
    return Reply(200, {"Content-Type": "application/octet-stream"}, call.engine.files.export(call.id))


async def changes(call: Call) -> Reply:
    found = await call.engine.files.changes(call.id)
    return reply([{"Path": path, "Kind": kind} for kind, path in found] or None)


ROUTES = (
    Route("HEAD", "/containers/{id}/archive", head, query=("path",)),
    Route("GET", "/containers/{id}/archive", get, query=("path",)),
    Route("PUT", "/containers/{id}/archive", put, query=("path", "noOverwriteDirNonDir", "copyUIDGID")),
    Route("GET", "/containers/{id}/export", export),
    Route("GET", "/containers/{id}/changes", changes),
)
