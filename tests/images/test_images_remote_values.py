"""The decisions of pulls and pushes that need no registry: challenges, refusals, pauses, scopes, credentials."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import (
    BoxshipError,
    Denied,
    Invalid,
    NotFound,
    Timeout,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from boxship.images.remote.authorization import union
from boxship.images.remote.challenge import Challenge, parse
from boxship.images.remote.client import domain_of
from boxship.images.remote.connection import Connection
from boxship.images.remote.credentials import by_domain, from_fields
from boxship.images.remote.endpoints import Endpoint, leads_inside
from boxship.images.remote.failures import Busy, ManifestMissing, RepositoryMissing, failure, parse_retry_after
from boxship.images.remote.fetching import partial_name
from boxship.images.remote.manifests import check_document, choose
from boxship.images.remote.model import Credentials, RemoteLimits
from boxship.images.remote.repository import Repository
from boxship.images.remote.retrying import Retries
from boxship.spec.image import Descriptor, Index, Platform
from boxship.spec.platform import parse as parse_platform
from boxship.spec.reference import DEFAULT_DOMAIN
from boxship.transport.client import Trust


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (["Basic realm=x"], [Challenge("basic", {"realm": "x"})]),
        (
            ['Bearer realm="https://t/x?a=b,c",service="s",scope="repository:a/b:pull,push"'],
            [Challenge("bearer", {"realm": "https://t/x?a=b,c", "service": "s", "scope": "repository:a/b:pull,push"})],
        ),
        (
            ['Negotiate, Bearer realm="a\\"b" , error=invalid_token, Basic realm="r"'],
            [
                Challenge("negotiate", {}),
                Challenge("bearer", {"realm": 'a"b', "error": "invalid_token"}),
                Challenge("basic", {"realm": "r"}),
            ],
        ),
        (["Negotiate dG9rZW4=", "BASIC Realm=y"], [Challenge("negotiate", {}), Challenge("basic", {"realm": "y"})]),
        ([""], []),
        (['"'], []),
    ],
)
def test_challenges(fields: list[str], found: list[Challenge]) -> None:
    assert list(parse(fields)) == found


@pytest.mark.parametrize("text", ['Basic{}"', 'Basic x{}"', 'Basic x={}"', "Basic {}x", '{}"'])
@pytest.mark.parametrize("filling", [" ", ",", ", ", "\t ,"])
def test_no_challenge_stands_still(text: str, filling: str) -> None:
    began = time.monotonic()
    parse([text.format(filling * (60_000 // len(filling)))])
    assert time.monotonic() - began < 2  # it took minutes, in which the daemon did nothing else


@given(st.lists(st.text(max_size=200), max_size=4))
def test_any_text_is_read(fields: list[str]) -> None:
    assert len(parse(fields)) <= 16


def errors_of(code: str, message: str = "m") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (404, errors_of("MANIFEST_UNKNOWN", "manifest unknown"), ManifestMissing, "manifest unknown: manifest unknown"),
        (404, errors_of("NAME_UNKNOWN"), RepositoryMissing, "name unknown: m"),
        (404, b"<html>", ManifestMissing, "not found"),
        (401, errors_of("UNAUTHORIZED", "authentication required"), Unauthenticated, "unauthorized: authentication"),
        (401, b"", Unauthenticated, "unauthorized: authentication required"),
        (403, errors_of("DENIED", "no"), Denied, "denied: no"),
        (400, errors_of("DENIED", "no"), Denied, "denied: no"),
        (400, errors_of("MANIFEST_INVALID"), Invalid, "manifest invalid: m"),
        (413, b"", Invalid, "received unexpected HTTP status: 413 R"),
        (429, errors_of("TOOMANYREQUESTS"), Busy, "toomanyrequests: m"),
        (500, b"", Unavailable, "received unexpected HTTP status: 500 R"),
        (503, b"", Busy, "received unexpected HTTP status: 503 R"),
        (500, errors_of("X\x00", "a\x1b[31m" + "b" * 1000), Unavailable, "received"),
        (404, b"[" * 100_000, NotFound, "not found"),
        (404, b'{"errors": [1]}', NotFound, "not found"),
    ],
)
def test_refusals(status: int, body: bytes, kind: type[BoxshipError], text: str) -> None:
    found = failure(status, "R", body)
    assert isinstance(found, kind) and str(found).startswith(text)
    assert str(found).isprintable() and len(str(found)) < 1200


def test_insufficient_scope_is_a_denial() -> None:
    found = failure(401, "", b"", challenges=parse(['Bearer realm="x",error="insufficient_scope"']))
    assert isinstance(found, Denied)


@given(st.integers(100, 599), st.binary(max_size=300))
def test_any_answer_is_an_error(status: int, body: bytes) -> None:
    assert isinstance(failure(status, "", body), BoxshipError)


def test_retry_after() -> None:
    assert parse_retry_after("7", 0) == 7
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111700) == 77
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 999999999) == 0
    for text in ("", "soon", "-1", "1e9", "99999999999"):
        assert parse_retry_after(text, 0) is None


async def pauses(error: BoxshipError, progress: bool = False, **limits: Any) -> list[float]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    retries = Retries(RemoteLimits(**limits), sleep)
    with pytest.raises(type(error)):
        for _ in range(1000):
            await retries.failed(error, progress=progress)
    return slept


async def test_pauses_grow_and_end() -> None:
    slept = await pauses(Unavailable("x"), attempts=8, first_pause=1, longest_pause=5)
    assert len(slept) == 7 and all(
        low / 2 <= found <= low for found, low in zip(slept, (1, 2, 4, 5, 5, 5, 5), strict=True)
    )
    assert await pauses(Denied("x")) == []
    assert len(await pauses(Timeout("x"), attempts=3)) == 2
    assert await pauses(Busy("x", 30.0), attempts=3) == [30.0, 30.0]
    assert await pauses(Busy("x", 3000.0)) == []
    assert len(await pauses(Busy("x", 100.0), attempts=50, patience=450)) == 4
    assert len(await pauses(Unavailable("x"), progress=True, attempts=2, resumptions=10, first_pause=0)) == 10


def test_scopes_are_joined() -> None:
    assert union(["repository:a:pull", "repository:a:push", "repository:b/c:pull"]) == {
        "repository:a:pull,push",
        "repository:b/c:pull",
    }


def test_credentials_of_clients() -> None:
    assert from_fields({"auth": "YW5uOmE6Yg=="}) == Credentials("ann", "a:b")
    assert from_fields({"username": "ann", "password": "x", "auth": "eDp5", "email": ""}) == Credentials("ann", "x")
    assert from_fields({"username": "<token>", "password": "t"}) == Credentials(identity_token="t")
    assert from_fields({"identitytoken": "t", "serveraddress": None}).identity_token == "t"
    assert from_fields({}).empty and "secret" not in repr(Credentials("ann", "secret"))
    for wrong in ({"auth": "???"}, {"username": 7}, {"username": "a\r\nb", "password": "x"}):
        with pytest.raises(Invalid):
            from_fields(wrong)
    found = by_domain(
        {f"https://index.{DEFAULT_DOMAIN}/v1/": {"username": "a"}, "h:1": Credentials("b"), "http://x/v2": {}}
    )
    assert set(found) == {DEFAULT_DOMAIN, "h:1", "x"} and domain_of("") == DEFAULT_DOMAIN


def test_no_way_inside() -> None:
    for host in ("localhost", "127.0.0.1", "::1", "169.254.169.254", "fe80::1"):
        assert leads_inside(host, "registry.example") and not leads_inside(host, "localhost")
    for host in (
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "2002:7f00:1::",
        "fe80::1%eth0",
        "127.1",
        "0",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "localhost.",
        "LOCALHOST",
        "a.localhost",
        "127.0.0.1.",
    ):
        assert leads_inside(host, "registry.example"), host
    for host in (
        "registry.example",
        "10.0.0.1",
        "8.8.8.8",
        "8.8.8.8.",
        "::ffff:8.8.8.8",
        "0x7f.example",
        "1.example",
        "2001:db8::1",
    ):
        assert not leads_inside(host, "registry.example"), host


def test_where_a_registry_may_lead() -> None:
    """By a redirect, or by the address of an upload."""
    unused: Any = None
    connection = Connection(unused, Endpoint("https://registry.example", Trust()), unused)
    here = "https://registry.example/v2/a/blobs/uploads/"
    for place in ("u?x=1", "/v2/u", "https://storage.example:1/u", "//storage.example/u"):
        assert connection.led(here, place, "an upload").startswith("https://")
    for place, kind in (
        ("http://registry.example/u", Denied),
        ("https://127.0.0.1/u", Denied),
        ("https://169.254.169.254/u", Denied),
        ("https://me:pw@storage.example/u", Invalid),
        ("ftp://storage.example/u", Invalid),
        ("https://[", Invalid),
    ):
        with pytest.raises(kind):
            connection.led(here, place, "an upload")
        answer: Any = SimpleNamespace(url=here, headers={"Location": place})
        with pytest.raises(kind):
            Repository(connection, "a")._location(answer)


def test_names_of_unfinished_files() -> None:
    digest = "sha512:" + "a" * 128
    assert len(partial_name("x" * 300, digest)) <= 128
    assert partial_name("a", digest) != partial_name("b", digest)


def entry(platform: str | None, **fields: Any) -> Descriptor:
    return Descriptor(
        "application/vnd.oci.image.manifest.v1+json",
        "sha256:" + "0" * 64,
        1,
        platform=parse_platform(platform) if platform else None,
        **fields,
    )


def test_choice_of_platform() -> None:
    offers = tuple(
        entry(name) for name in ("linux/arm/v5", "linux/arm/v7", "linux/amd64", "linux/amd64/v2", "linux/arm64")
    )
    index = Index(offers)
    for wanted, position in (("linux/arm/v7", 1), ("linux/arm/v6", 0), ("linux/amd64/v3", 3), ("linux/arm64/v8", 4)):
        assert choose(index, parse_platform(wanted), "x") is offers[position], wanted
    with pytest.raises(
        NotFound, match=r"no matching manifest for linux/ppc64le in the manifest list entries of x: it has"
    ):
        choose(index, parse_platform("linux/ppc64le"), "x")
    attestation = entry(None, annotations={"vnd.docker.reference.type": "attestation-manifest"})
    unknown = msgspec_platform("unknown")
    with pytest.raises(NotFound, match="nothing"):
        choose(Index((attestation, unknown)), None, "x")
    alone = entry(None)
    assert choose(Index((attestation, alone)), None, "x") is alone


def msgspec_platform(name: str) -> Descriptor:
    return Descriptor("m", "sha256:" + "0" * 64, 1, platform=Platform(name, name))


@given(st.binary(max_size=300), st.text(max_size=60))
def test_any_bytes_are_a_document_or_refused(data: bytes, kind: str) -> None:
    try:
        check_document("latest", data, kind)
    except (Invalid, Unsupported):
        return
