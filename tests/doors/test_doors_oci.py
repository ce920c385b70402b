"""The distribution API over a real socket, clause by clause of the specification 1.1."""

import asyncio
import os
from pathlib import Path

import pytest
from doors_registry import Peer, raw, serving

from boxship.registry import Settings
from boxship.spec.image import MEDIA_INDEX, MEDIA_MANIFEST
from registry_kit import digest_of, image, index

MANIFEST = {"Content-Type": MEDIA_MANIFEST}
BLOB = b"some layer" * 100
DIGEST = digest_of(BLOB)


@pytest.fixture
async def peer(tmp_path: Path):  # type: ignore[no-untyped-def]
    async with serving(tmp_path) as one:
        yield one


async def push_image(peer: Peer, name: str, tag: str, *layers: bytes) -> str:
    for data in (b"{}", *layers):
        await peer.push_blob(name, data, digest_of(data))
    done = await peer.call("PUT", f"/v2/{name}/manifests/{tag}", image(layers), MANIFEST)
    assert done.status == 201, done.body
    return str(done.headers["Docker-Content-Digest"])


async def test_the_api_is_there(peer: Peer) -> None:
    for path in ("/v2/", "/v2"):
        for method in ("GET", "HEAD"):
            assert (await peer.call(method, path)).status == 200
    assert (await peer.call("GET", "/nothing")).status == 404
    wrong = await peer.call("POST", "/v2/")
    assert wrong.status == 405 and wrong.headers["Allow"] == "GET, HEAD" and wrong.code == "UNSUPPORTED"


# pull


async def test_pull_of_manifests(peer: Peer) -> None:
    digest = await push_image(peer, "a/b", "one", BLOB)
    for reference in ("one", digest):
        got = await peer.call("GET", f"/v2/a/b/manifests/{reference}", headers={"Accept": MEDIA_MANIFEST})
        assert got.status == 200 and got.body == image([BLOB]) and got.headers["Content-Type"] == MEDIA_MANIFEST
        assert got.headers["Docker-Content-Digest"] == digest
        head = await peer.call("HEAD", f"/v2/a/b/manifests/{reference}")
        assert head.status == 200 and head.body == b"" and int(head.headers["Content-Length"]) == len(got.body)
        assert head.headers["Docker-Content-Digest"] == digest
        same = await peer.call("GET", f"/v2/a/b/manifests/{reference}", headers={"If-None-Match": got.headers["ETag"]})
        assert same.status == 304 and same.body == b""
    for path, code in (
        ("/v2/a/b/manifests/two", "MANIFEST_UNKNOWN"),
        (f"/v2/a/b/manifests/{digest_of(b'?')}", "MANIFEST_UNKNOWN"),
        ("/v2/nowhere/manifests/one", "NAME_UNKNOWN"),
    ):
        missing = await peer.call("GET", path)
        assert missing.status == 404 and missing.code == code
        assert (await peer.call("HEAD", path)).status == 404


async def test_pull_of_blobs(peer: Peer) -> None:
    await push_image(peer, "a", "one", BLOB)
    url = f"/v2/a/blobs/{DIGEST}"
    got = await peer.call("GET", url)
    assert got.status == 200 and got.body == BLOB and got.headers["Docker-Content-Digest"] == DIGEST
    assert got.headers["Accept-Ranges"] == "bytes" and got.headers["Content-Type"] == "application/octet-stream"
    head = await peer.call("HEAD", url)
    assert head.status == 200 and head.headers["Content-Length"] == "1000" and head.body == b""
    assert (await peer.call("GET", url, headers={"If-None-Match": f'"{DIGEST}"'})).status == 304
    missing = await peer.call("GET", f"/v2/a/blobs/{digest_of(b'?')}")
    assert missing.status == 404 and missing.code == "BLOB_UNKNOWN"
    assert (await peer.call("HEAD", f"/v2/a/blobs/{digest_of(b'?')}")).status == 404
    wrong = await peer.call("GET", "/v2/a/blobs/sha256:xyz")
    assert wrong.status == 400 and wrong.code == "DIGEST_INVALID"


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-9", 206, 0, 9),
        ("bytes=990-", 206, 990, 999),
        ("bytes=-10", 206, 990, 999),
        ("bytes=-5000", 206, 0, 999),
        ("bytes=0-99999", 206, 0, 999),
        ("bytes=999-999", 206, 999, 999),
        ("bytes=1000-", 416, 0, 0),
        ("bytes=5000-6000", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=5-2", 200, 0, 999),
        ("bytes=0-1,5-6", 200, 0, 999),
        ("lines=0-1", 200, 0, 999),
        ("bytes=-", 200, 0, 999),
    ],
)
async def test_ranges(peer: Peer, asked: str, status: int, first: int, last: int) -> None:
    await push_image(peer, "a", "one", BLOB)
    got = await peer.call("GET", f"/v2/a/blobs/{DIGEST}", headers={"Range": asked})
    assert got.status == status
    if status == 416:
        assert got.headers["Content-Range"] == "bytes */1000"
        return
    assert got.body == BLOB[first : last + 1]
    assert got.headers.get("Content-Range", "") == (f"bytes {first}-{last}/1000" if status == 206 else "")


async def test_a_range_of_something_else_is_all(peer: Peer) -> None:
    await push_image(peer, "a", "one", BLOB)
    headers = {"Range": "bytes=0-1", "If-Range": '"other"'}
    assert (await peer.call("GET", f"/v2/a/blobs/{DIGEST}", headers=headers)).body == BLOB
    headers["If-Range"] = f'"{DIGEST}"'
    assert (await peer.call("GET", f"/v2/a/blobs/{DIGEST}", headers=headers)).body == BLOB[:2]


async def test_an_empty_blob(peer: Peer) -> None:
    await peer.push_blob("a", b"", digest_of(b""))
    got = await peer.call("GET", f"/v2/a/blobs/{digest_of(b'')}")
    assert got.status == 200 and got.body == b"" and got.headers["Content-Length"] == "0"


async def test_a_large_blob_comes_whole_over_one_connection(peer: Peer) -> None:
    data = os.urandom(20_000_000)
    await peer.push_blob("a", data, digest_of(data))
    for _ in range(3):
        assert (await peer.call("GET", f"/v2/a/blobs/{digest_of(data)}")).body == data
        assert (await peer.call("GET", "/v2/")).status == 200


async def test_a_client_that_goes_in_the_middle_of_a_blob(peer: Peer) -> None:
    data = os.urandom(30_000_000)
    await peer.push_blob("a", data, digest_of(data))
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
    writer.write(f"GET /v2/a/blobs/{digest_of(data)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readexactly(100_000)
    writer.close()
    assert (await peer.call("GET", f"/v2/a/blobs/{digest_of(data)}")).body == data


# push


async def test_push_by_post_and_put(peer: Peer) -> None:
    location = await peer.start("a")
    done = await peer.call("PUT", f"{location}?digest={DIGEST}", BLOB)
    assert done.status == 201 and done.headers["Location"] == f"/v2/a/blobs/{DIGEST}"
    assert done.headers["Docker-Content-Digest"] == DIGEST
    assert (await peer.call("GET", done.headers["Location"])).body == BLOB
    assert (await peer.call("GET", location)).status == 404


async def test_push_by_one_post(peer: Peer) -> None:
    done = await peer.call("POST", f"/v2/a/blobs/uploads/?digest={DIGEST}", BLOB)
    assert done.status == 201 and (await peer.call("GET", done.headers["Location"])).body == BLOB


async def test_push_in_chunks(peer: Peer) -> None:
    location = await peer.start("a")
    for start in range(0, 1000, 400):
        chunk = BLOB[start : start + 400]
        headers = {"Content-Range": f"{start}-{start + len(chunk) - 1}"}
        sent = await peer.call("PATCH", location, chunk, headers)
        assert sent.status == 202 and sent.headers["Range"] == f"0-{start + len(chunk) - 1}"
        location = sent.headers["Location"]
        state = await peer.call("GET", location)
        assert state.status == 204 and state.headers["Range"] == sent.headers["Range"]
        assert state.headers["Location"] == location
    done = await peer.call("PUT", f"{location}?digest={DIGEST}")
    assert done.status == 201 and (await peer.call("GET", done.headers["Location"])).body == BLOB


async def test_the_last_chunk_may_come_with_the_put(peer: Peer) -> None:
    location = await peer.start("a")
    await peer.call("PATCH", location, BLOB[:400], {"Content-Range": "0-399"})
    done = await peer.call("PUT", f"{location}?digest={DIGEST}", BLOB[400:], {"Content-Range": "400-999"})
    assert done.status == 201 and (await peer.call("GET", done.headers["Location"])).body == BLOB


async def test_a_streamed_push(peer: Peer) -> None:
    async def chunks():  # type: ignore[no-untyped-def]
        for start in range(0, 1000, 10):
            yield BLOB[start : start + 10]

    location = await peer.start("a")
    sent = await peer.call("PATCH", location, chunks())
    assert sent.status == 202 and sent.headers["Range"] == "0-999"
    assert (await peer.call("PUT", f"{location}?digest={DIGEST}")).status == 201


async def test_chunks_out_of_order_are_refused_and_the_upload_goes_on(peer: Peer) -> None:
    location = await peer.start("a")
    early = await peer.call("PATCH", location, BLOB[400:], {"Content-Range": "400-999"})
    assert early.status == 416 and early.code == "BLOB_UPLOAD_INVALID" and early.headers["Range"] == "0-0"
    await peer.call("PATCH", location, BLOB[:400], {"Content-Range": "0-399"})
    again = await peer.call("PATCH", location, BLOB[:400], {"Content-Range": "0-399"})
    assert again.status == 416 and again.headers["Range"] == "0-399"
    late = await peer.call("PUT", f"{location}?digest={DIGEST}", BLOB[500:], {"Content-Range": "500-999"})
    assert late.status == 416
    done = await peer.call("PUT", f"{location}?digest={DIGEST}", BLOB[400:], {"Content-Range": "400-999"})
    assert done.status == 201


@pytest.mark.parametrize("text", ["x", "5", "9-3", "bytes=a-b", "0-10"])
async def test_content_ranges_that_cannot_be(peer: Peer, text: str) -> None:
    location = await peer.start("a")
    wrong = await peer.call("PATCH", location, BLOB, {"Content-Range": text})
    assert wrong.status == 400 and wrong.code == "BLOB_UPLOAD_INVALID"
    assert (await peer.call("PUT", f"{location}?digest={DIGEST}", BLOB)).status == 201


async def test_a_lying_digest(peer: Peer) -> None:
    location = await peer.start("a")
    for url in (f"{location}?digest={digest_of(b'other')}", f"/v2/a/blobs/uploads/?digest={digest_of(b'other')}"):
        wrong = await peer.call("PUT" if "?digest" in url and location in url else "POST", url, BLOB)
        assert wrong.status == 400 and wrong.code == "DIGEST_INVALID"
    assert (await peer.call("GET", location)).status == 404
    for digest in ("", "sha256:abc", "md5:" + "0" * 32):
        wrong = await peer.call("PUT", f"{await peer.start('a')}?digest={digest}", BLOB)
        assert wrong.status == 400 and wrong.code == "DIGEST_INVALID"
    assert (await peer.call("HEAD", f"/v2/a/blobs/{DIGEST}")).status == 404


async def test_cancel(peer: Peer) -> None:
    location = await peer.start("a")
    await peer.call("PATCH", location, BLOB)
    assert (await peer.call("DELETE", location)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        gone = await peer.call(method, location)
        assert gone.status == 404 and gone.code == "BLOB_UPLOAD_UNKNOWN"
    gone = await peer.call("PUT", f"{location}?digest={DIGEST}", BLOB)
    assert gone.status == 404 and gone.code == "BLOB_UPLOAD_UNKNOWN"


async def test_an_upload_belongs_to_its_repository(peer: Peer) -> None:
    location = await peer.start("a")
    other = location.replace("/v2/a/", "/v2/b/")
    assert (await peer.call("PATCH", other, BLOB)).status == 404
    assert (await peer.call("GET", location)).headers["Range"] == "0-0"


async def test_mount(peer: Peer) -> None:
    await push_image(peer, "a", "one", BLOB)
    done = await peer.call("POST", f"/v2/b/blobs/uploads/?mount={DIGEST}&from=a")
    assert done.status == 201 and done.headers["Location"] == f"/v2/b/blobs/{DIGEST}"
    assert (await peer.call("GET", done.headers["Location"])).body == BLOB
    for query in (f"?mount={digest_of(b'?')}&from=a", f"?mount={DIGEST}&from=nowhere", f"?mount={DIGEST}"):
        location = await peer.start("c", query)
        assert (await peer.call("PUT", f"{location}?digest={DIGEST}", BLOB)).status == 201


async def test_sha512(peer: Peer) -> None:
    digest = digest_of(BLOB, "sha512")
    for query in ("?digest-algorithm=sha512", ""):
        location = await peer.start("a", query)
        await peer.call("PATCH", location, BLOB[:300])
        done = await peer.call("PUT", f"{location}?digest={digest}", BLOB[300:])
        assert done.status == 201 and (await peer.call("GET", f"/v2/a/blobs/{digest}")).body == BLOB
    wrong = await peer.call("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5")
    assert wrong.status == 400 and wrong.code == "DIGEST_INVALID"


async def test_an_upload_goes_on_after_a_broken_connection(peer: Peer) -> None:
    location = await peer.start("a")
    _, writer = await asyncio.open_connection("127.0.0.1", peer.port)
    writer.write(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode() + BLOB[:300])
    await writer.drain()
    writer.close()
    async with asyncio.timeout(10):
        while (state := await peer.call("GET", location)).headers["Range"] != "0-299":
            await asyncio.sleep(0.01)
    assert state.status == 204
    done = await peer.call("PUT", f"{location}?digest={DIGEST}", BLOB[300:], {"Content-Range": "300-999"})
    assert done.status == 201 and (await peer.call("GET", f"/v2/a/blobs/{DIGEST}")).body == BLOB


async def test_two_requests_cannot_write_to_one_upload(peer: Peer) -> None:
    location = await peer.start("a")
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
    writer.write(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode() + BLOB[:300])
    async with asyncio.timeout(10):
        while (second := await peer.call("PATCH", location, b"")).status == 202:
            await asyncio.sleep(0.01)
    assert second.status == 409 and second.code == "BLOB_UPLOAD_INVALID"
    writer.write(BLOB[300:])
    assert (await reader.readline()).startswith(b"HTTP/1.1 202 ")
    writer.close()
    assert (await peer.call("GET", location)).headers["Range"] == "0-999"


# manifests


async def test_push_of_manifests(peer: Peer) -> None:
    await peer.push_blob("a", b"{}", digest_of(b"{}"))
    digest = digest_of(image())
    done = await peer.call("PUT", f"/v2/a/manifests/{digest}", image(), MANIFEST)
    assert done.status == 201 and done.headers["Location"] == f"/v2/a/manifests/{digest}"
    assert done.headers["Docker-Content-Digest"] == digest and "OCI-Subject" not in done.headers
    wrong = await peer.call("PUT", f"/v2/a/manifests/{digest_of(b'?')}", image(), MANIFEST)
    assert wrong.status == 400 and wrong.code == "DIGEST_INVALID"
    missing = await peer.call("PUT", "/v2/a/manifests/x", image([b"?"]), MANIFEST)
    assert missing.status == 400 and missing.code == "MANIFEST_BLOB_UNKNOWN"
    wrong = await peer.call("PUT", "/v2/a/manifests/x", b"{}", MANIFEST)
    assert wrong.status == 400 and wrong.code == "MANIFEST_INVALID"
    wrong = await peer.call("PUT", "/v2/a/manifests/x", b"x" * 5_000_000, MANIFEST)
    assert wrong.status == 400 and wrong.code == "MANIFEST_INVALID"
    wrong = await peer.call("PUT", "/v2/a/manifests/x", image(), {"Content-Type": MEDIA_INDEX})
    assert wrong.status == 400 and wrong.code == "MANIFEST_INVALID"
    for name, code in (("A", "NAME_INVALID"), ("a__-b", "NAME_INVALID")):
        wrong = await peer.call("PUT", f"/v2/{name}/manifests/x", image(), MANIFEST)
        assert wrong.status == 400 and wrong.code == code
    wrong = await peer.call("PUT", "/v2/a/manifests/.x", image(), MANIFEST)
    assert wrong.status == 400 and wrong.code == "TAG_INVALID"


async def test_an_index(peer: Peer) -> None:
    await push_image(peer, "a", digest_of(image([BLOB])), BLOB)
    data = index(image([BLOB]))
    done = await peer.call("PUT", "/v2/a/manifests/all", data, {"Content-Type": MEDIA_INDEX})
    assert done.status == 201
    got = await peer.call("GET", "/v2/a/manifests/all")
    assert got.body == data and got.headers["Content-Type"] == MEDIA_INDEX


async def test_names_with_odd_parts(peer: Peer) -> None:
    for name in ("blobs", "a/manifests/b", "tags/list", "a/blobs/uploads", "v2", "referrers"):
        digest = await push_image(peer, name, "one", BLOB)
        assert (await peer.call("GET", f"/v2/{name}/manifests/{digest}")).status == 200
        assert (await peer.call("GET", f"/v2/{name}/tags/list")).json == {"name": name, "tags": ["one"]}
        assert (await peer.call("GET", f"/v2/{name}/blobs/{DIGEST}")).body == BLOB


# discovery


async def test_tags(peer: Peer) -> None:
    await push_image(peer, "a", "one")
    for tag in ("two", "three", "four"):
        await peer.call("PUT", f"/v2/a/manifests/{tag}", image(), MANIFEST)
    assert (await peer.call("GET", "/v2/a/tags/list")).json == {"name": "a", "tags": ["four", "one", "three", "two"]}
    page, found = "/v2/a/tags/list?n=3", []
    while page:
        got = await peer.call("GET", page)
        found.append(got.json["tags"])
        link = got.headers.get("Link", "")
        page = link.partition("<")[2].partition(">")[0]
        assert not link or link.endswith('; rel="next"')
    assert found == [["four", "one", "three"], ["two"]]
    assert (await peer.call("GET", "/v2/a/tags/list?n=0")).json["tags"] == []
    assert (await peer.call("GET", "/v2/a/tags/list?last=one")).json["tags"] == ["three", "two"]
    wrong = await peer.call("GET", "/v2/a/tags/list?n=x")
    assert wrong.status == 400 and wrong.code == "PAGINATION_NUMBER_INVALID"
    missing = await peer.call("GET", "/v2/nowhere/tags/list")
    assert missing.status == 404 and missing.code == "NAME_UNKNOWN"


async def test_referrers(peer: Peer) -> None:
    subject = digest_of(image([BLOB]))
    await peer.push_blob("a", b"{}", digest_of(b"{}"))
    for number, kind in enumerate(("x/one", "x/two", "x/one")):
        data = image(subject=subject, kind=kind, annotations={"n": str(number)})
        done = await peer.call("PUT", f"/v2/a/manifests/{digest_of(data)}", data, MANIFEST)
        assert done.status == 201 and done.headers["OCI-Subject"] == subject
    got = await peer.call("GET", f"/v2/a/referrers/{subject}")
    assert got.status == 200 and got.headers["Content-Type"] == MEDIA_INDEX and got.json["mediaType"] == MEDIA_INDEX
    assert [entry["annotations"]["n"] for entry in got.json["manifests"]] == ["0", "1", "2"]
    assert "OCI-Filters-Applied" not in got.headers
    some = await peer.call("GET", f"/v2/a/referrers/{subject}?artifactType=x%2Fone")
    assert [entry["artifactType"] for entry in some.json["manifests"]] == ["x/one", "x/one"]
    assert some.headers["OCI-Filters-Applied"] == "artifactType"
    for name in ("a", "nowhere"):
        none = await peer.call("GET", f"/v2/{name}/referrers/{digest_of(b'?')}")
        assert none.status == 200 and none.json["manifests"] == [] and none.json["schemaVersion"] == 2
    assert (await peer.call("GET", "/v2/a/referrers/x")).status == 400
    await push_image(peer, "a", "one", BLOB)
    assert len((await peer.call("GET", f"/v2/a/referrers/{subject}")).json["manifests"]) == 3


async def test_many_referrers_come_in_pages(peer: Peer) -> None:
    subject = digest_of(b"?")
    await peer.push_blob("a", b"{}", digest_of(b"{}"))
    for number in range(1005):
        await peer.made.push("a", "", image(subject=subject, kind="x/y", annotations={"n": str(number)}))
    page, found = f"/v2/a/referrers/{subject}?artifactType=x/y", []
    while page:
        got = await peer.call("GET", page)
        found += [entry["annotations"]["n"] for entry in got.json["manifests"]]
        page = got.headers.get("Link", "").partition("<")[2].partition(">")[0]
    assert found == [str(number) for number in range(1005)]


async def test_the_catalogue(peer: Peer) -> None:
    assert (await peer.call("GET", "/v2/_catalog")).json == {"repositories": []}
    for name in ("c", "a", "b/x"):
        await push_image(peer, name, "one")
    assert (await peer.call("GET", "/v2/_catalog")).json == {"repositories": ["a", "b/x", "c"]}
    got = await peer.call("GET", "/v2/_catalog?n=2")
    assert (
        got.json == {"repositories": ["a", "b/x"]}
        and got.headers["Link"] == '</v2/_catalog?n=2&last=b%2Fx>; rel="next"'
    )
    assert (await peer.call("GET", "/v2/_catalog?n=2&last=b%2Fx")).json == {"repositories": ["c"]}


# management


async def test_deletion(peer: Peer) -> None:
    digest = await push_image(peer, "a", "one", BLOB)
    await peer.call("PUT", "/v2/a/manifests/two", image([BLOB]), MANIFEST)
    assert (await peer.call("DELETE", "/v2/a/manifests/one")).status == 202
    assert (await peer.call("GET", "/v2/a/manifests/one")).status == 404
    assert (await peer.call("GET", f"/v2/a/manifests/{digest}")).status == 200
    used = await peer.call("DELETE", f"/v2/a/blobs/{DIGEST}")
    assert used.status == 405 and used.code == "UNSUPPORTED"
    assert (await peer.call("DELETE", f"/v2/a/manifests/{digest}")).status == 202
    for path in ("manifests/two", f"manifests/{digest}", f"blobs/{DIGEST}"):
        assert (await peer.call("GET", f"/v2/a/{path}")).status == 404
        assert (await peer.call("DELETE", f"/v2/a/{path}")).status == 404
    assert await peer.made.blobs() == set()
    await peer.push_blob("a", BLOB, DIGEST)
    assert (await peer.call("DELETE", f"/v2/a/blobs/{DIGEST}")).status == 202
    assert (await peer.call("HEAD", f"/v2/a/blobs/{DIGEST}")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", f"/v2/a/blobs/{DIGEST}", "DELETE, GET, HEAD"),
        ("POST", "/v2/a/manifests/x", "DELETE, GET, HEAD, PUT"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("POST", "/v2/a/blobs/uploads/x", "DELETE, GET, HEAD, PATCH, PUT"),
        ("DELETE", "/v2/a/tags/list", "GET, HEAD"),
        ("DELETE", f"/v2/a/referrers/{DIGEST}", "GET, HEAD"),
        ("POST", "/v2/_catalog", "GET, HEAD"),
    ],
)
async def test_wrong_methods(peer: Peer, method: str, path: str, allowed: str) -> None:
    wrong = await peer.call(method, path)
    assert wrong.status == 405 and wrong.code == "UNSUPPORTED" and wrong.headers["Allow"] == allowed


async def test_metrics(peer: Peer) -> None:
    await push_image(peer, "a", "one", BLOB)
    await peer.call("GET", f"/v2/a/blobs/{DIGEST}")
    got = await peer.call("GET", "/metrics")
    assert got.status == 200 and got.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = dict(line.rsplit(" ", 1) for line in got.body.decode().splitlines() if not line.startswith("#"))
    assert lines['boxship_registry_requests_total{method="GET",route="blob",code="200"}'] == "1"
    assert lines["boxship_registry_repositories"] == "1" and lines["boxship_registry_blobs"] == "2"
    assert int(lines["boxship_registry_received_bytes_total"]) >= 1002
    assert lines['boxship_registry_request_duration_seconds_bucket{route="blob",le="+Inf"}'] == "1"


# bad clients


async def test_an_upload_with_a_lying_length(peer: Peer) -> None:
    location = await peer.start("a")
    got = await raw(
        peer.port,
        f"PUT {location}?digest={DIGEST} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n".encode() + BLOB[:900],
    )
    assert got.startswith(b"HTTP/1.1 400 ")
    location = await peer.start("a")
    await raw(
        peer.port,
        f"PUT {location}?digest={DIGEST} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n".encode() + BLOB,
        end=True,
    )
    assert (await peer.call("HEAD", f"/v2/a/blobs/{DIGEST}")).status == 404
    async with asyncio.timeout(10):  # the end of that connection may be seen after the next request of another
        while (await peer.call("GET", location)).headers["Range"] != "0-999":
            await asyncio.sleep(0.01)
    assert (await peer.call("PUT", f"{location}?digest={DIGEST}")).status == 201


async def test_chunks_that_are_none(peer: Peer) -> None:
    location = await peer.start("a")
    head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    got = await raw(peer.port, head + b"zz\r\nhello\r\n")
    assert got == b"" or b" 400 " in got.split(b"\r\n")[0]
    assert (await peer.call("PUT", f"{location}?digest={DIGEST}", BLOB)).status in (201, 400)


async def test_little_is_kept_of_who_asks(peer: Peer) -> None:
    digest = digest_of(b"{}")
    await peer.push_blob("a", b"{}", digest)
    await peer.call("HEAD", f"/v2/a/blobs/{digest}", headers={"User-Agent": "x" * 100_000})
    repository = peer.made.registry.repositories.need("a")
    assert max(len(touch.actor.agent) for touch in repository.touches._of[digest]) < 1000


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../../etc/passwd",
        "/v2/a/blobs/../../../state.db",
        "/v2/a/manifests/..%2f..%2fx",
        "/v2/%00/tags/list",
        "/v2/a%0ab/tags/list",
    ],
)
async def test_paths_that_lead_elsewhere(peer: Peer, path: str) -> None:
    got = await raw(peer.port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert got.split(b" ")[1] in (b"400", b"404")


async def test_a_client_that_sends_nothing_more(tmp_path: Path) -> None:
    async with serving(tmp_path, settings=Settings(stall_seconds=0.1)) as peer:
        location = await peer.start("a")
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
        assert (await raw(peer.port, head + BLOB[:300])).startswith(b"HTTP/1.1 408 ")
        assert (await peer.call("GET", location)).headers["Range"] == "0-299"
