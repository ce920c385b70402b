"""Blobs: GET and HEAD with ranges and conditions, DELETE, and uploads of every kind."""

import re

from boxship.doors.oci.call import Call
from boxship.doors.oci.errors import upload_range
from boxship.registry.names import check_digest, check_name
from boxship.registry.refusals import DigestInvalid
from boxship.transport.exchange import FileBody, Reply

OCTETS = "application/octet-stream"


async def head(call: Call) -> Reply:
    # Whoever may push asks so before a push: the blob then stays until its manifest comes.
    toucher = call.actor if call.may("push") else None
    digest = call.names["digest"]
    size = await call.blob_size(digest, toucher)
    if _is_known(call, digest):
        return Reply(304, _headers(digest))
    return Reply(200, {**_headers(digest), "Content-Length": str(size)})


async def get(call: Call) -> Reply:
    digest = call.names["digest"]
    size = await call.blob_size(digest)
    if _is_known(call, digest):
        return Reply(304, _headers(digest))
    first, count = 0, size
    status, headers = 200, _headers(digest)
    text = call.header("Range")
    if text and _may_range(call, digest):
        asked = read_range(text, size)
        if asked is not None:
            if not asked:
                return Reply(416, {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})
            first, count = asked[0], asked[-1] - asked[0] + 1
            status = 206
            headers["Content-Range"] = f"bytes {first}-{first + count - 1}/{size}"
    file = call.registry.reading.open_blob(digest)
    call.counts.sent(count)
    return Reply(status, headers, FileBody(file, first, count))


def read_range(text: str, size: int) -> range | None:
    """The bytes that a Range header asks for; an empty range where there are none such, None where the header is to be
    ignored: a unit or a form that we don't know, or several ranges."""
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", text.replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        return range(max(size - int(match[2]), 0), size)
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None
    return range(first, min(last + 1, size))


async def delete(call: Call) -> Reply:
    await call.registry.deleting.delete_blob(call.name, call.names["digest"])
    return Reply(202)


# uploads


async def start(call: Call) -> Reply:
    """POST: an upload, a mount, or the whole blob in one request."""
    name = check_name(call.name)
    if mount := call.text("mount"):
        check_digest(mount)
        source = call.text("from")
        if source and call.may("pull", source) and await call.registry.pushing.mount(name, mount, source, call.actor):
            return _created(name, mount)
    elif digest := call.text("digest"):
        await call.registry.pushing.push_blob(name, digest, call.chunks(), call.actor, call.length())
        return _created(name, digest)
    upload = await call.registry.pushing.start_upload(name, call.text("digest-algorithm") or "sha256")
    return _state(name, upload, 0, 202)


async def status(call: Call) -> Reply:
    upload = call.names["upload"]
    return _state(call.name, upload, call.registry.pushing.uploads.size(call.name, upload), 204)


async def patch(call: Call) -> Reply:
    upload = call.names["upload"]
    first, length = call.chunk_range()
    size = await call.registry.pushing.append(call.name, upload, call.chunks(), first, length)
    return _state(call.name, upload, size, 202)


async def put(call: Call) -> Reply:
    digest = call.text("digest")
    if not digest:
        raise DigestInvalid("cannot end the upload: the parameter digest is missing")
    first, length = call.chunk_range()
    await call.registry.pushing.finish_upload(
        call.name, call.names["upload"], digest, call.chunks(), call.actor, first, length
    )
    return _created(call.name, digest)


async def cancel(call: Call) -> Reply:
    await call.registry.pushing.cancel_upload(call.name, call.names["upload"])
    return Reply(204)


def _created(name: str, digest: str) -> Reply:
    return Reply(
        201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest, "Content-Length": "0"}
    )


def _state(name: str, upload: str, size: int, status: int) -> Reply:
    headers = {
        "Location": f"/v2/{name}/blobs/uploads/{upload}",
        "Range": upload_range(size),
        "Docker-Upload-UUID": upload,
    }
    return Reply(status, headers)


def _headers(digest: str) -> dict[str, str]:
    return {
        "Content-Type": OCTETS,
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000",
    }


def _is_known(call: Call, digest: str) -> bool:
    """Whether the client has it already. What a digest names never changes."""
    return f'"{digest}"' in call.header("If-None-Match")


def _may_range(call: Call, digest: str) -> bool:
    condition = call.header("If-Range")
    return not condition or condition.strip() == f'"{digest}"'
