"""Pulls from a registry that is ill, many at once, under another name, and by way of others."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from images_kit import Room, config, layer, sha
from remote_registry import OCI_MANIFEST, Asked, FakeRegistry, Said, error
from remote_room import FAST, RemoteRoom, digest_of, put_image

from boxship.errors import (
    BoxshipError,
    Denied,
    Invalid,
    Timeout,
    Unauthenticated,
    Unavailable,
)
from boxship.images.remote.client import Remote
from boxship.images.remote.model import Credentials, PullStep, RemoteLimits, RemoteSettings
from boxship.spec.image import Descriptor
from boxship.spec.platform import parse as parse_platform
from boxship.spec.reference import parse
from boxship.store.memory import MemoryStore

# registries that are ill


async def test_truncated_layer_is_resumed_by_range(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    broken = digest_of(registry, 1)
    data = registry.blobs[broken]
    registry.rule("GET", f"blobs/{broken}", Said(body=data, cut=120_000), times=1)
    await puller.pull(f"{registry.host}/team/app:1")
    asked = [entry for entry in registry.asked if entry.path.endswith(broken)]
    assert [entry.headers.get("range", "") for entry in asked] == ["", "bytes=120000-"]
    assert registry.sent_of(broken) == len(data)


async def test_server_without_ranges_is_read_again(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    broken = digest_of(registry, 1)
    data = registry.blobs[broken]
    registry.rule("GET", f"blobs/{broken}", Said(body=data, cut=120_000), times=1)
    registry.rule("GET", f"blobs/{broken}", Said(body=data), times=1)
    await puller.pull(f"{registry.host}/team/app:1")
    assert await puller.images.resolve(f"{registry.host}/team/app:1")
    assert len([entry for entry in registry.asked if entry.path.endswith(broken)]) == 2


async def test_errors_that_pass(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.rule("GET", "manifests/", Said(500), times=2)
    registry.rule("GET", "blobs/", Said(502), times=2)
    await puller.pull(f"{registry.host}/team/app:1")
    assert await puller.images.resolve(f"{registry.host}/team/app:1")


async def test_errors_that_do_not_pass(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.rule("GET", "manifests/", Said(500))
    with pytest.raises(Unavailable, match="500"):
        await puller.pull(f"{registry.host}/team/app:1")
    assert registry.count("GET", "manifests/") == FAST.attempts


async def test_retry_after_is_obeyed_and_bounded(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.rule("GET", "manifests/", error(429, "TOOMANYREQUESTS", "slow down", {"Retry-After": "7"}), times=1)
    await puller.pull(f"{registry.host}/team/app:1")
    assert puller.slept[0] >= 7
    registry.rule("GET", "manifests/", error(429, "TOOMANYREQUESTS", "slow down", {"Retry-After": "7000"}))
    with pytest.raises(Unavailable, match="slow down"):
        await puller.pull(f"{registry.host}/team/app:1")


async def test_hanging_and_dripping_registries_time_out(tmp_path: Path, registry: FakeRegistry) -> None:
    puller = await RemoteRoom(tmp_path, limits=RemoteLimits(attempts=2, first_pause=0.001, resumptions=0)).open()
    put_image(registry)
    registry.rule("GET", "manifests/", Said(hang=True))
    with pytest.raises(Timeout, match=r"no answer after 0.5 s"):
        await puller.pull(f"{registry.host}/team/app:1")
    registry.calm()
    slow = digest_of(registry, 1)
    registry.rule("GET", f"blobs/{slow}", Said(body=registry.blobs[slow], piece=10, pause=0.05))
    with pytest.raises(Timeout, match="too few"):
        await puller.pull(f"{registry.host}/team/app:1")
    await puller.assert_nothing_visible()
    await puller.close()


async def test_failed_pull_goes_on_where_it_ended(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    base, broken = digest_of(registry, 0), digest_of(registry, 1)
    data = registry.blobs[broken]
    registry.rule("GET", f"blobs/{broken}", Said(body=data, cut=120_000), times=1)
    registry.rule("GET", f"blobs/{broken}", Said(503))
    with pytest.raises(Unavailable):
        await puller.pull(f"{registry.host}/team/app:1")
    await puller.assert_nothing_visible()
    registry.calm()
    await puller.pull(f"{registry.host}/team/app:1")
    assert registry.sent_of(base) == len(registry.blobs[base])
    assert registry.sent_of(broken) == len(data)


async def test_damaged_partial_is_fetched_again(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    broken = digest_of(registry, 1)
    data = registry.blobs[broken]
    registry.rule("GET", f"blobs/{broken}", Said(body=data[:50_000] + b"!" + data[50_001:], cut=120_000), times=1)
    await puller.pull(f"{registry.host}/team/app:1")
    assert (await puller.images.list())[0].references


# many at once


async def test_two_pulls_share_one_download_and_one_may_leave(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    shared = digest_of(registry, 1)
    data = registry.blobs[shared]
    registry.rule("GET", f"blobs/{shared}", Said(body=data, piece=20_000, pause=0.05))
    name = f"{registry.host}/team/app:1"
    first = asyncio.ensure_future(puller.pull(name))
    second = asyncio.ensure_future(puller.pull(name))
    deadline = asyncio.get_running_loop().time() + 10
    while not registry.sent_of(shared) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
    transfers = puller.images._traffic._puller.downloads._transfers
    while transfers and len(next(iter(transfers.values())).listeners) < 2:
        await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.wait([first])
    await second
    assert registry.sent_of(shared) == len(data)
    assert (await puller.images.resolve(name)).references == (name,)


async def test_last_client_that_leaves_pauses_the_download(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    shared = digest_of(registry, 1)
    registry.rule("GET", f"blobs/{shared}", Said(body=registry.blobs[shared], piece=70_000, pause=0.3))
    pulling = asyncio.ensure_future(puller.pull(f"{registry.host}/team/app:1"))
    while not registry.sent_of(shared):
        await asyncio.sleep(0.01)
    pulling.cancel()
    await asyncio.wait([pulling])
    assert not puller.images._traffic._puller.downloads._transfers
    await puller.assert_nothing_visible()
    assert len(puller.partials()) in (1, 2)


async def test_many_pulls_that_come_and_go_end_well(puller: RemoteRoom, registry: FakeRegistry) -> None:
    chance = random.Random(7)
    shared = [layer(f"shared{number}", bytes(30_000)) for number in range(4)]
    for number in range(4):
        layers = [*shared[: number + 1], layer(f"own{number}", bytes(20_000))]
        registry.add_image("app", str(number), layers, config(layers))
    for data in shared:
        body = Said(body=data, piece=5000, pause=0.002)
        registry.rule(
            "GET",
            f"blobs/sha256:{sha(data)}",
            lambda asked, body=body: body if not asked.headers.get("range") else None,
        )
    for _ in range(12):
        pulls = [asyncio.ensure_future(puller.pull(f"{registry.host}/app:{chance.randrange(4)}")) for _ in range(6)]
        for pulling in pulls:
            await asyncio.sleep(chance.random() * 0.01)
            if chance.random() < 0.6:
                pulling.cancel()
        await asyncio.wait(pulls)
        failures = [pulling.exception() for pulling in pulls if not pulling.cancelled()]
        assert not any(failures), failures
        for found in await puller.images.list():
            assert all(puller.layers.has_layer(entry.chain_id) for entry in found.layers)
            assert all(puller.content.exists(entry.blob) for entry in found.layers)
            if chance.random() < 0.5:
                await puller.images.remove(found.id, force=True)
    for number in range(4):
        await puller.pull(f"{registry.host}/app:{number}")
    assert len(await puller.images.list()) == 4 and puller.partials() == []
    await puller.forget()
    await puller.garbage.settle()
    assert await puller.content.list() == () and puller.layers.layers() == []


async def test_layers_come_side_by_side_within_the_limit(tmp_path: Path, registry: FakeRegistry) -> None:
    puller = await RemoteRoom(tmp_path, limits=RemoteLimits(layers_per_pull=3)).open()
    layers = [layer(f"f{number}", b"x" * 5000) for number in range(10)]
    registry.add_image("app", "1", layers, config(layers))
    registry.rule("GET", "blobs/", lambda asked: None)
    for data in layers:
        registry.rule("GET", f"blobs/sha256:{sha(data)}", Said(body=data, piece=3000, pause=0.03))
    await puller.pull(f"{registry.host}/app:1")
    assert 2 <= registry.most_open <= 3
    await puller.close()


# who we are


async def test_basic_and_bearer(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.users = {"ann": "secret"}
    name = f"{registry.host}/team/app:1"
    for tokens in (False, True):
        registry.tokens = tokens
        puller.images.remote._connections.clear()
        if not tokens:
            with pytest.raises(Unauthenticated, match="no basic auth credentials"):
                await puller.pull(name)
        with pytest.raises(Unauthenticated):
            await puller.pull(name, credentials=Credentials("ann", "wrong"))
        await puller.pull(name, credentials=Credentials("ann", "secret"))
    assert all("secret" not in str(entry.target) for entry in registry.asked)
    assert ["repository:team/app:pull"] in registry.token_scopes


async def test_token_that_ends_midway_is_renewed(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.users, registry.tokens = {"ann": "secret"}, True

    def expire(asked: Any) -> None:
        registry.valid_tokens.clear()

    registry.rule("GET", f"blobs/{digest_of(registry, 1)}", expire, times=1)
    await puller.pull(f"{registry.host}/team/app:1", credentials=Credentials("ann", "secret"))
    assert registry.count("GET", "/token") >= 2


async def test_token_server_on_plain_http_gets_no_password(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.users, registry.tokens, registry.realm = {"ann": "secret"}, True, "http://tokens.example.com/token"
    with pytest.raises(Denied, match="plain HTTP"):
        await puller.pull(f"{registry.host}/team/app:1", credentials=Credentials("ann", "secret"))


async def test_credentials_do_not_follow_redirects(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.users = {"ann": "secret"}
    moved = digest_of(registry, 1)
    with FakeRegistry() as storage:
        storage.rule("GET", "/store/", Said(body=registry.blobs[moved]))
        registry.rule("GET", f"blobs/{moved}", Said(307, {"Location": f"{storage.url}/store/x?sig=a%2Fb"}))
        await puller.pull(f"{registry.host}/team/app:1", credentials=Credentials("ann", "secret"))
        assert storage.asked and all("authorization" not in entry.headers for entry in storage.asked)
        assert storage.asked[0].target == "/store/x?sig=a%2Fb"


async def test_redirects_without_end(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.rule("GET", "blobs/", lambda asked: Said(307, {"Location": asked.target}))
    with pytest.raises(Invalid, match="redirects"):
        await puller.pull(f"{registry.host}/team/app:1")


@pytest.mark.parametrize("place", ["http://[", "http://h:99999/", "//[::1/x", "ftp://h/", "http://me:pw@h/"])
async def test_redirects_to_no_address(puller: RemoteRoom, registry: FakeRegistry, place: str) -> None:
    put_image(registry)
    registry.rule("GET", "blobs/", Said(307, {"Location": place}))
    with pytest.raises(Invalid, match="cannot follow a redirect"):
        await puller.pull(f"{registry.host}/team/app:1")


async def test_token_server_without_address(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.users, registry.tokens, registry.realm = {"ann": "secret"}, True, "https://[/token"
    with pytest.raises(Invalid, match="has no address"):
        await puller.pull(f"{registry.host}/team/app:1", credentials=Credentials("ann", "secret"))


async def test_few_of_the_addresses_of_a_manifest_are_tried(puller: RemoteRoom) -> None:
    """They are a stranger's choice, and we would knock at each of them."""
    urls = tuple(f"https://h{number}.example/x" for number in range(10_000))
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    source = puller.images._traffic._puller.source("d", (), Descriptor(kind, "sha256:" + "1" * 64, 1, urls=urls))
    assert 0 < len(source.places) < 20


async def test_lists_without_end(puller: RemoteRoom, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxship.images.remote.repository.LIST_BYTES", 100_000)
    put_image(registry)

    def page(asked: Asked) -> Said:
        number = len(registry.asked)
        listed = {"tags": [f"{number}-{word}" for word in range(1000)], "schemaVersion": 2, "manifests": []}
        return Said(
            200, {"Link": f'<{asked.target.partition("?")[0]}?last={number}>; rel="next"'}, json.dumps(listed).encode()
        )

    registry.rule("GET", "tags/list|referrers/", page)
    with pytest.raises(Invalid, match="more than 100000 bytes"):
        await puller.pull(f"{registry.host}/team/app", every_tag=True)
    assert registry.count("GET", "tags/list") < 50
    await puller.pull(f"{registry.host}/team/app:1")  # nobody needs to know who refers to it
    assert registry.count("GET", "referrers/") < 50


async def test_lists_that_are_nested_too_deep(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    deep = b'{"tags":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    registry.rule("GET", "tags/list|referrers/", Said(200, {}, deep))
    with pytest.raises(Invalid, match="cannot read the list"):
        await puller.pull(f"{registry.host}/team/app", every_tag=True)
    await puller.pull(f"{registry.host}/team/app:1")


# other places


async def test_mirror_comes_first_and_may_fail(tmp_path: Path, registry: FakeRegistry) -> None:
    with FakeRegistry() as mirror:
        puller = await RemoteRoom(tmp_path, mirrors={registry.host: (mirror.url,)}).open()
        put_image(registry)
        put_image(mirror)
        registry.users = {"ann": "secret"}
        await puller.pull(f"{registry.host}/team/app:1", credentials=Credentials("ann", "secret"))
        assert not registry.asked
        assert all("authorization" not in entry.headers for entry in mirror.asked)
        mirror.rule("*", "", Said(500))
        await puller.forget()
        await puller.pull(f"{registry.host}/team/app:1", credentials=Credentials("ann", "secret"))
        assert registry.count("GET", "blobs/") == 3
        await puller.close()


async def test_lying_mirror_is_passed_over(tmp_path: Path, registry: FakeRegistry) -> None:
    with FakeRegistry() as mirror:
        puller = await RemoteRoom(tmp_path, mirrors={registry.host: (mirror.url,)}).open()
        digest = put_image(registry)
        put_image(mirror)
        lying = digest_of(mirror, 1)
        mirror.manifests[("team/app", digest)] = (OCI_MANIFEST, b"{}")
        mirror.rule("GET", f"blobs/{lying}", Said(404))
        await puller.pull(f"{registry.host}/team/app@{digest}")
        assert await puller.images.resolve(f"{registry.host}/team/app@{digest}")
        assert mirror.asked and registry.count("GET", f"manifests/{digest}")
        await puller.close()


async def test_plain_http_is_for_loopback_and_named_registries_only(puller: RemoteRoom) -> None:
    for settings in ({"mirrors": {"x": ("http://mirror.example.com",)}}, {"push_compression": "rar"}):
        with pytest.raises(Invalid):
            Remote(RemoteSettings(**settings))
    Remote(RemoteSettings(mirrors={"x": ("http://mirror.example.com",)}, insecure=("mirror.example.com",)))


async def test_obtain_pulls_once(puller: RemoteRoom, registry: FakeRegistry) -> None:
    put_image(registry)
    registry.users = {"ann": "secret"}
    name = f"{registry.host}/team/app:1"
    given = {f"https://{registry.host}/v2/": {"username": "ann", "password": "secret"}}
    news: list[PullStep] = []
    first = await puller.images.obtain(name, credentials=given, progress=news.append)
    assert news
    registry.asked.clear()
    assert (await puller.images.obtain(name)).id == first.id and not registry.asked
    await puller.images.obtain(name, credentials=given, always=True)
    assert registry.asked
    with pytest.raises(BoxshipError):
        await puller.images.obtain(name, platform=parse_platform("linux/arm64"), credentials=given)


async def test_room_is_consistent(tmp_path: Path, registry: FakeRegistry) -> None:
    put_image(registry)
    room = await Room(tmp_path, MemoryStore()).open()
    assert [step async for step in room.images.pull(parse(f"{registry.host}/team/app:1"))]
    await room.assert_no_waste()
    await room.close()
