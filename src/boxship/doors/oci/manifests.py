"""Manifests: GET and HEAD by tag or digest with conditions, PUT, DELETE; tags, referrers, the catalogue."""

from urllib.parse import quote

from boxship.doors.oci.call import PAGE_LIMIT, Call, json_reply
from boxship.registry.model import Found
from boxship.spec.image import MEDIA_INDEX
from boxship.transport.exchange import Reply

REFERRER_PAGE = 1000


async def head(call: Call) -> Reply:
    found = await call.manifest(call.names["reference"])
    if _is_known(call, found):
        return Reply(304, _headers(found))
    return Reply(200, {**_headers(found), "Content-Length": str(found.size)})


async def get(call: Call) -> Reply:
    found = await call.manifest(call.names["reference"])
    if _is_known(call, found):
        return Reply(304, _headers(found))
    data = await call.registry.reading.read(found)
    call.counts.sent(len(data))
    return Reply(200, _headers(found), data)


async def put(call: Call) -> Reply:
    data = await call.body(call.registry.settings.manifest_bytes)
    done = await call.registry.pushing.push_manifest(
        call.name, call.names["reference"], call.header("Content-Type"), data, call.actor
    )
    headers = {
        "Location": f"/v2/{call.name}/manifests/{done.digest}",
        "Docker-Content-Digest": done.digest,
        "Content-Length": "0",
    }
    if done.subject:
        headers["OCI-Subject"] = done.subject
    return Reply(201, headers)


async def delete(call: Call) -> Reply:
    await call.registry.deleting.delete(call.name, call.names["reference"], call.actor)
    return Reply(202)


async def tags(call: Call) -> Reply:
    last, limit = call.page()
    found, more = call.registry.reading.tags(call.name, last, PAGE_LIMIT if limit is None else limit)
    headers = {}
    if more and found:
        headers["Link"] = _next(f"/v2/{call.name}/tags/list", PAGE_LIMIT if limit is None else limit, found[-1])
    return json_reply({"name": call.name, "tags": found}, headers=headers)


async def catalogue(call: Call) -> Reply:
    last, limit = call.page()
    count = PAGE_LIMIT if limit is None else limit
    found, more = call.registry.reading.catalogue(last, count, call.lists)
    headers = {"Link": _next("/v2/_catalog", count, found[-1])} if more and found else {}
    return json_reply({"repositories": found}, headers=headers)


async def referrers(call: Call) -> Reply:
    wanted = call.text("artifactType")
    digest = call.names["digest"]
    found = call.registry.reading.referrers(call.name, digest, wanted)
    headers = {"Content-Type": MEDIA_INDEX}
    if wanted:
        headers["OCI-Filters-Applied"] = "artifactType"
    last = call.text("last")
    position = next((number + 1 for number, entry in enumerate(found) if entry.digest == last), 0)
    page = found[position : position + REFERRER_PAGE]
    if position + REFERRER_PAGE < len(found):
        query = f"last={page[-1].digest}" + (f"&artifactType={quote(wanted, safe='')}" if wanted else "")
        headers["Link"] = f'</v2/{call.name}/referrers/{digest}?{query}>; rel="next"'
    return json_reply({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": page}, headers=headers)


def _next(path: str, limit: int, last: str) -> str:
    return f'<{path}?n={limit}&last={quote(last, safe="")}>; rel="next"'


def _headers(found: Found) -> dict[str, str]:
    headers = {"Content-Type": found.media_type, "Docker-Content-Digest": found.digest, "ETag": f'"{found.digest}"'}
    if found.subject:
        headers["OCI-Subject"] = found.subject
    return headers


def _is_known(call: Call, found: Found) -> bool:
    return f'"{found.digest}"' in call.header("If-None-Match")
