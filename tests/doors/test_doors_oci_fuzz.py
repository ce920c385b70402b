"""Requests of anything: every one gets an answer of the specification's form, none is a mistake of ours."""

import asyncio
import json
import tempfile
from pathlib import Path
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from boxship.doors.oci.door import Door
from boxship.doors.oci.gate import Gate
from boxship.registry.access import Access
from boxship.spec.image import MEDIA_INDEX, MEDIA_MANIFEST
from boxship.transport.memory import Client
from registry_kit import bench, digest_of, image

WORDS = (
    "v2",
    "a",
    "team",
    "blobs",
    "uploads",
    "manifests",
    "tags",
    "list",
    "referrers",
    "_catalog",
    "",
    "..",
    "%00",
    "%2e",
)
DIGESTS = (digest_of(b"{}"), digest_of(image()), "sha256:", "sha512:" + "0" * 128, "sha256:" + "g" * 64, "x" * 300)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
HEADERS = ("Range", "Content-Range", "If-None-Match", "If-Range", "Content-Length", "Content-Type", "Authorization")
VALUES = (
    "bytes=0-1",
    "0-1",
    "1-0",
    "bytes=-",
    "x",
    "0",
    "-1",
    "9" * 40,
    '"',
    MEDIA_MANIFEST,
    MEDIA_INDEX,
    "Basic !",
    "Bearer x",
)
QUERIES = ("n", "last", "digest", "mount", "from", "artifactType", "digest-algorithm", "scope")

part = some.one_of(
    some.sampled_from(WORDS), some.sampled_from(DIGESTS), some.text(max_size=5).map(lambda text: quote(text))
)
path = some.one_of(
    some.lists(part, max_size=7).map(lambda parts: "/" + "/".join(parts)),
    some.tuples(some.sampled_from(("blobs", "manifests", "referrers", "tags", "blobs/uploads")), part).map(
        lambda pair: f"/v2/a/{pair[0]}/{pair[1]}"
    ),
)
query = some.dictionaries(
    some.sampled_from(QUERIES), some.one_of(some.sampled_from(DIGESTS), some.text(max_size=8)), max_size=3
)
headers = some.dictionaries(some.sampled_from(HEADERS), some.sampled_from(VALUES), max_size=3)
documents = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.text(max_size=5)
    | some.sampled_from((*DIGESTS, MEDIA_MANIFEST)),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(
            some.sampled_from(
                (
                    "schemaVersion",
                    "mediaType",
                    "config",
                    "layers",
                    "manifests",
                    "subject",
                    "digest",
                    "size",
                    "annotations",
                    "urls",
                )
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
body = some.one_of(
    some.binary(max_size=50),
    documents.map(lambda value: json.dumps(value).encode()),
    documents.map(
        lambda value: json.dumps(
            {"schemaVersion": 2, "mediaType": MEDIA_MANIFEST, "config": value, "layers": value}
        ).encode()
    ),
    some.just(image()),
)
request = some.tuples(some.sampled_from(METHODS), path, query, headers, body)
KNOWN = {200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 409, 416}


async def send(requests: list[tuple[str, str, dict[str, str], dict[str, str], bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with bench(Path(folder)) as made:
            await made.push_image("a", "x")
            door = Door(made.registry, Gate(Access(made.registry.policy, closed=False)), shows_metrics=True)
            async with Client(door.handle) as client:
                for method, target, names, fields, data in requests:
                    words = "&".join(f"{name}={quote(value)}" for name, value in names.items())
                    answer = await client.call(method, f"{target}?{words}", data, fields)
                    assert answer.status in KNOWN, (answer.status, method, target, names, fields, data)
                    got = await answer.read()
                    if answer.status >= 400 and answer.status != 416 and method != "HEAD":
                        (error,) = json.loads(got)["errors"]
                        assert error["code"] == error["code"].upper() and error["message"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(some.lists(request, max_size=10))
def test_every_request_is_answered(
    requests: list[tuple[str, str, dict[str, str], dict[str, str], bytes]],
) -> None:
    asyncio.run(send(requests))
