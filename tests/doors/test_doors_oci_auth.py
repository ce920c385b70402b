"""Users, tokens, rights and the limit on guesses, over a real socket."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bcrypt
import pytest
from doors_registry import Answer, Peer, serving

from boxship.errors import Invalid, Unauthenticated, Unsupported
from boxship.registry.access import Access, Identity
from boxship.registry.logins import GUESSES, TooManyGuesses, Users, place_of, read_htpasswd
from boxship.registry.policy import read_policy
from boxship.registry.tokens import LIFETIME_SECONDS, Tokens
from boxship.spec.image import MEDIA_MANIFEST
from registry_kit import digest_of, image

MANIFEST = {"Content-Type": MEDIA_MANIFEST}
POLICY = """
[[repository]]
match = ["public/**"]
pull = ["anonymous"]
push = ["alice"]
delete = []

[[repository]]
match = ["shared/*"]
pull = ["*"]
push = ["alice", "bob"]

[[repository]]
match = ["**"]
pull = ["alice"]
push = ["alice"]
delete = ["alice"]
"""


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def htpasswd(path: Path, **users: str) -> Path:
    lines = [f"{name}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode()}" for name, word in users.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


@contextlib.asynccontextmanager
async def guarded(root: Path, **options: Any) -> AsyncIterator[Peer]:
    users = htpasswd(root / "htpasswd", alice="secret", bob="other")
    async with serving(root / "data", users=users, **options) as peer:
        yield peer


async def push(peer: Peer, name: str, headers: dict[str, str]) -> Answer:
    done = await peer.call("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(b'{}')}", b"{}", headers)
    if done.status != 201:
        return done
    return await peer.call("PUT", f"/v2/{name}/manifests/x", image(), {**MANIFEST, **headers})


async def test_basic(tmp_path: Path) -> None:
    async with guarded(tmp_path) as peer:
        asked = await peer.call("GET", "/v2/")
        assert asked.status == 401 and asked.code == "UNAUTHORIZED"
        assert asked.headers["WWW-Authenticate"] == 'Basic realm="Boxship registry"'
        assert (await peer.call("GET", "/v2/", headers=basic("alice", "secret"))).status == 200
        wrong = (
            basic("alice", "wrong"),
            basic("nobody", "secret"),
            {"Authorization": "Basic !"},
            {"Authorization": "x"},
        )
        for headers in wrong:
            refused = await peer.call("GET", "/v2/", headers=headers)
            assert refused.status == 401 and refused.code == "UNAUTHORIZED"
        assert (await push(peer, "a", basic("bob", "other"))).status == 201
        for method, path in (
            ("GET", "/v2/a/manifests/x"),
            ("GET", f"/v2/a/blobs/{digest_of(b'{}')}"),
            ("GET", "/v2/a/tags/list"),
            ("POST", "/v2/a/blobs/uploads/"),
            ("DELETE", "/v2/a/manifests/x"),
            ("GET", "/v2/_catalog"),
            ("GET", "/metrics"),
            ("GET", f"/v2/a/referrers/{digest_of(b'{}')}"),
        ):
            assert (await peer.call(method, path)).status == 401, path
            assert (await peer.call(method, path, headers=basic("alice", "secret"))).status in (200, 202)


async def test_rights(tmp_path: Path) -> None:
    async with guarded(tmp_path, policy=POLICY) as peer:
        alice, bob = basic("alice", "secret"), basic("bob", "other")
        for name in ("public/a", "shared/a", "own"):
            assert (await push(peer, name, alice)).status == 201
        assert (await push(peer, "shared/a", bob)).status == 201
        for name in ("public/a", "own"):
            refused = await push(peer, name, bob)
            assert refused.status == 403 and refused.code == "DENIED"
            assert (await push(peer, name, {})).status == 401
        pulls = {
            "public/a": {"alice": 200, "bob": 200, "": 200},
            "shared/a": {"alice": 200, "bob": 200, "": 401},
            "own": {"alice": 200, "bob": 403, "": 401},
        }
        for name, expected in pulls.items():
            for who, status in expected.items():
                headers = {"alice": alice, "bob": bob, "": {}}[who]
                assert (await peer.call("GET", f"/v2/{name}/manifests/x", headers=headers)).status == status, (
                    name,
                    who,
                )
        listed = [await peer.call("GET", "/v2/_catalog", headers=headers) for headers in (alice, bob)]
        assert [answer.json["repositories"] for answer in listed] == [
            ["own", "public/a", "shared/a"],
            ["public/a", "shared/a"],
        ]
        assert (await peer.call("DELETE", "/v2/public/a/manifests/x", headers=alice)).status == 403


async def test_a_mount_needs_the_right_to_pull_its_source(tmp_path: Path) -> None:
    async with guarded(tmp_path, policy=POLICY) as peer:
        secret = b"secret layer"
        headers = basic("alice", "secret")
        await peer.call("POST", f"/v2/own/blobs/uploads/?digest={digest_of(secret)}", secret, headers)
        query = f"?mount={digest_of(secret)}&from=own"
        assert (
            await peer.call("POST", f"/v2/shared/a/blobs/uploads/{query}", headers=basic("bob", "other"))
        ).status == 202
        assert (await peer.call("POST", f"/v2/shared/a/blobs/uploads/{query}", headers=headers)).status == 201


async def ask_token(peer: Peer, scope: str, headers: dict[str, str]) -> str:
    got = await peer.call("GET", f"/token?service=test&scope={quote(scope)}", headers=headers)
    assert got.status == 200 and got.json["token"] == got.json["access_token"]
    assert got.json["expires_in"] == LIFETIME_SECONDS and got.json["issued_at"].endswith("Z")
    return str(got.json["token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_tokens(tmp_path: Path) -> None:
    async with guarded(tmp_path, policy=POLICY, tokens=True) as peer:
        asked = await peer.call("GET", "/v2/shared/a/manifests/x")
        address = f'Bearer realm="http://127.0.0.1:{peer.port}/token",service="test"'
        assert asked.headers["WWW-Authenticate"] == f'{address},scope="repository:shared/a:pull"'
        asked = await peer.call("HEAD", f"/v2/shared/a/blobs/{digest_of(b'{}')}")
        assert asked.headers["WWW-Authenticate"] == f'{address},scope="repository:shared/a:pull,push"'
        asked = await peer.call("POST", "/v2/shared/a/blobs/uploads/")
        assert asked.headers["WWW-Authenticate"] == f'{address},scope="repository:shared/a:pull,push"'
        alice, bob = basic("alice", "secret"), basic("bob", "other")
        token = await ask_token(peer, "repository:shared/a:pull,push", bob)
        assert (await push(peer, "shared/a", bearer(token))).status == 201
        assert (await peer.call("GET", "/v2/shared/a/manifests/x", headers=bearer(token))).status == 200
        assert (await peer.call("GET", "/v2/", headers=bearer(token))).status == 200
        narrow = await peer.call("DELETE", "/v2/shared/a/manifests/x", headers=bearer(token))
        assert narrow.status == 401 and 'error="insufficient_scope"' in narrow.headers["WWW-Authenticate"]
        assert (await peer.call("GET", "/v2/other/manifests/x", headers=bearer(token))).status == 401
        # nothing is granted that the user may not do
        token = await ask_token(peer, "repository:own:pull,push,delete", bob)
        assert (await peer.call("GET", "/v2/own/manifests/x", headers=bearer(token))).status == 401
        # nobody in particular
        assert (await push(peer, "public/a", alice)).status == 201
        token = await ask_token(peer, "repository:public/a:pull,push repository:own:pull", {})
        assert (await peer.call("GET", "/v2/public/a/manifests/x", headers=bearer(token))).status == 200
        assert (await push(peer, "public/a", bearer(token))).status == 401
        # the catalogue
        token = await ask_token(peer, "registry:catalog:*", bob)
        listed = await peer.call("GET", "/v2/_catalog", headers=bearer(token))
        assert listed.json["repositories"] == ["public/a", "shared/a"]


async def test_a_token_gets_no_other_token(tmp_path: Path) -> None:
    async with guarded(tmp_path, tokens=True) as peer:
        narrow = await ask_token(peer, "repository:a:pull", basic("alice", "secret"))
        for scope in ("repository:b:push,delete", "repository:a:pull", ""):
            refused = await peer.call("GET", f"/token?service=test&scope={scope}", headers=bearer(narrow))
            assert refused.status == 401 and refused.code == "UNAUTHORIZED"


async def test_what_is_no_name_is_in_no_challenge(tmp_path: Path) -> None:
    async with guarded(tmp_path, tokens=True) as peer:
        for name in ("a%0d%0aX-Made:%20up", "a%22,b=%22c", "a" * 100_000, "A"):
            refused = await peer.call("GET", f"/v2/{name}/manifests/x")
            assert refused.status == 400 and refused.code == "NAME_INVALID", name[:100]
            assert "WWW-Authenticate" not in refused.headers


async def test_the_token_endpoint_refuses(tmp_path: Path) -> None:
    async with guarded(tmp_path, tokens=True) as peer:
        assert (await peer.call("GET", "/token?service=test", headers=basic("alice", "wrong"))).status == 401
        assert (
            await peer.call("GET", "/token?scope=repository:A:pull", headers=basic("alice", "secret"))
        ).status == 400
        assert (await peer.call("DELETE", "/token")).status == 405
        form = {
            "grant_type": "password",
            "username": "alice",
            "password": "secret",
            "scope": "repository:a:push",
            "service": "test",
        }
        got = await peer.call("POST", "/token", form)
        assert got.status == 200 and (await push(peer, "a", bearer(got.json["token"]))).status == 201
        form["grant_type"] = "refresh_token"
        assert (await peer.call("POST", "/token", form)).status == 400
        for token in ("x", "a.b.c", got.json["token"][:-4] + "AAAA", got.json["token"] + "x"):
            assert (await peer.call("GET", "/v2/", headers=bearer(token))).status == 401
    async with serving(tmp_path / "open") as peer:
        assert (await peer.call("GET", "/token")).status == 404


def test_tokens_end_and_cannot_be_made_by_others() -> None:
    ours, others = Tokens(b"a" * 32, "one"), Tokens(b"b" * 32, "one")
    token = ours.issue("alice", {"a": frozenset({"pull"})}, False, 1000)
    assert ours.read(token, 1100) == Identity("alice", {"a": frozenset({"pull"})}, False)
    for reader, now in (
        (ours, 1000 + LIFETIME_SECONDS + 31),
        (ours, 900),
        (others, 1100),
        (Tokens(b"a" * 32, "two"), 1100),
    ):
        with pytest.raises(Unauthenticated):
            reader.read(token, now)
    head, _, rest = token.partition(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    for forged in (f"{none}.{rest}", f"{none}.{rest.partition('.')[0]}.", head, ""):
        with pytest.raises(Unauthenticated):
            ours.read(forged, 1100)


async def test_guesses_are_limited(tmp_path: Path) -> None:
    async with guarded(tmp_path) as peer:
        for _ in range(GUESSES):
            assert (await peer.call("GET", "/v2/", headers=basic("alice", "guess"))).status == 401
        refused = await peer.call("GET", "/v2/", headers=basic("alice", "secret"))
        assert refused.status == 429 and refused.code == "TOOMANYREQUESTS" and int(refused.headers["Retry-After"]) > 0
        assert (await peer.call("GET", "/v2/")).status == 401


async def test_guesses_that_come_at_once_are_limited_too(tmp_path: Path) -> None:
    users = Users(htpasswd(tmp_path / "htpasswd", alice="secret"))
    wrong = [users.knows("alice", f"guess {number}", "192.0.2.9") for number in range(5 * GUESSES)]
    answers = await asyncio.gather(*wrong, return_exceptions=True)
    assert answers.count(False) < 2 * GUESSES
    assert all(answer is False or isinstance(answer, TooManyGuesses) for answer in answers)


def test_a_network_is_one_place() -> None:
    assert place_of("2001:db8::1") == place_of("2001:db8::ffff:1") == "2001:db8::/64" != place_of("2001:db8:0:1::1")
    assert place_of("fe80::1%eth0") == "fe80::/64" and place_of("::ffff:192.0.2.1") != place_of("::ffff:192.0.2.2")
    assert place_of("192.0.2.1") == "192.0.2.1" and place_of("engine") == "engine" and place_of("") == ""


async def test_nobody_can_tell_who_is_a_user(tmp_path: Path) -> None:
    path = htpasswd(tmp_path / "htpasswd", alice="secret")
    slow = bcrypt.hashpw(b"slow", bcrypt.gensalt(6)).decode()
    path.write_text(f"{path.read_text()}bob:{slow}\n")
    users = Users(path)
    assert users._slowest() == slow.encode()  # as long as the longest of them
    assert not await users.knows("nobody", "slow", "192.0.2.1")
    assert not await users.knows("x" * 100_000, "slow", "192.0.2.1")
    assert max(map(len, users._wrong)) < 300  # what strangers send is not kept


async def test_who_was_let_in_is_not_slowed_by_guesses(tmp_path: Path) -> None:
    users = Users(htpasswd(tmp_path / "htpasswd", alice="secret"))
    assert await users.knows("alice", "secret", "192.0.2.1")
    for _ in range(GUESSES):
        assert not await users.knows("alice", "wrong", "192.0.2.9")
    assert await users.knows("alice", "secret", "192.0.2.1")


async def test_the_file_of_users_is_read_again(tmp_path: Path) -> None:
    path = htpasswd(tmp_path / "htpasswd", alice="secret")
    users = Users(path)
    assert await users.knows("alice", "secret", "x")
    htpasswd(path, alice="changed!", bob="b")
    assert await users.knows("bob", "b", "x") and await users.knows("alice", "changed!", "x")
    assert not await users.knows("alice", "secret", "x")
    path.write_text("nonsense")
    assert await users.knows("bob", "b", "x")  # what was good stays


def test_files_of_users_that_cannot_be() -> None:
    assert read_htpasswd("# note\n\nalice:$2y$05$abc\n", "f") == {"alice": b"$2y$05$abc"}
    for text in ("alice", ":$2y$05$x", "anonymous:$2y$05$x", "*:$2y$05$x"):
        with pytest.raises(Invalid, match="line 1"):
            read_htpasswd(text, "f")
    for text in ("alice:$apr1$x$y", "alice:{SHA}abc", "alice:plain"):
        with pytest.raises(Unsupported, match="bcrypt"):
            read_htpasswd(text, "f")
    with pytest.raises(Invalid):
        Users(Path("/nonexistent/htpasswd"))


def test_decisions() -> None:
    policy = read_policy(POLICY, "p")
    access = Access(policy, closed=True)
    assert access.allows("", "public/a", "pull") and not access.allows("", "public/a", "push")
    assert access.allows("alice", "public/a/b", "push") and not access.allows("bob", "public/a", "push")
    assert access.allows("alice", "shared/a/b", "pull") and not access.allows("bob", "shared/a/b", "pull")
    narrow = Identity("alice", {"own": frozenset({"pull"})})
    assert access.may(narrow, "own", "pull") and not access.may(narrow, "own", "push")
    assert access.granted("bob", "shared/a", frozenset({"*"})) == {
        "pull",
        "push",
    }  # deletion: only the last rule speaks
    assert Access(read_policy("", "p"), closed=False).allows("", "a", "delete")
    assert not Access(read_policy("", "p"), closed=True).allows("", "a", "pull")
