"""How a machine knows the cluster that it joins, and how long its certificates are good: decisions, then the whole
exchange with an API in memory, with a clock that is moved on."""

import base64
import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world_kit import World, running_world

from boxship.cluster.access import Client
from boxship.cluster.api.request import User
from boxship.cluster.controllers.certificates import is_own_server
from boxship.cluster.controllers.joining import signature, signed, token_of
from boxship.cluster.node.identity.certificates import NodeCertificates, seconds_left
from boxship.cluster.node.identity.discovery import check, is_signed, vouched
from boxship.cluster.node.identity.requesting import SERVING, have_signed
from boxship.errors import Denied, Invalid
from boxship.pki.cluster_nodes import life_of, make_request, pins_of
from boxship.pki.cluster_requests import read_request

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
TOKEN = "abcdef.0123456789abcdef"
NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))


def kubeconfig(authority: bytes) -> str:
    data = base64.b64encode(authority).decode()
    return f"clusters:\n- cluster:\n    certificate-authority-data: {data}\n    server: https://x:1\n"


def test_a_cluster_is_known_by_token_and_pin(tmp_path: Path) -> None:
    authority = World(tmp_path).authority.ca_pem
    text = kubeconfig(authority)
    (pin,) = pins_of(authority)
    data = {"kubeconfig": text, "jws-kubeconfig-abcdef": signature(text, "abcdef", "0123456789abcdef")}
    assert vouched(data, TOKEN, pin).encode() == authority
    with pytest.raises(Denied, match="is not the one that the hash is of"):
        vouched(data, TOKEN, f"sha256:{'0' * 64}")
    with pytest.raises(Denied, match="not signed by the token"):
        vouched(data, "abcdef.0123456789abcdee", pin)
    with pytest.raises(Denied, match="not signed by the token"):
        vouched({**data, "kubeconfig": text.replace("x:1", "y:1")}, TOKEN, pin)
    with pytest.raises(Denied, match="knows no token other1"):
        vouched(data, "other1.0123456789abcdef", pin)


@given(st.text(), st.text(min_size=1), st.text())
def test_no_other_text_and_no_other_form_is_signed(text: str, key: str, other: str) -> None:
    made = signature(text, "abcdef", key)
    assert is_signed(text, made, key)
    assert is_signed(other, made, key) == (other == text)
    assert not is_signed(text, other, key)
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    assert not is_signed(text, f"{none}..{made.rpartition('.')[2]}", key)


@pytest.mark.parametrize(
    ("server", "token", "pin", "why"),
    [
        ("http://x:1", TOKEN, f"sha256:{'a' * 64}", "https://HOST:PORT"),
        ("https://x:1/path", TOKEN, f"sha256:{'a' * 64}", "https://HOST:PORT"),
        ("https://x:1", "secret", f"sha256:{'a' * 64}", "a token looks like"),
        ("https://x:1", TOKEN, "sha256:12", "64 digits"),
    ],
)
def test_what_cannot_be_meant_is_refused(server: str, token: str, pin: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        check(server, token, pin)


def secret(**changes: str) -> dict[str, Any]:
    data = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", **changes}
    return {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


def test_only_living_tokens_that_are_for_it_sign() -> None:
    assert token_of(secret(), NOW) == ("abcdef", "0123456789abcdef")
    assert token_of(secret(expiration="2026-11-23T00:00:00Z"), NOW) == ("abcdef", "0123456789abcdef")
    for changes in (
        {"expiration": "2026-11-22T00:00:00Z"},
        {"expiration": "soon"},
        {"usage-bootstrap-signing": "false"},
    ):
        assert token_of(secret(**changes), NOW) is None
    known = {"kubeconfig": "text", "jws-kubeconfig-gone00": "x", "network.json": "{}"}
    assert set(signed(known, [("abcdef", "key")])) == {"kubeconfig", "network.json", "jws-kubeconfig-abcdef"}


@pytest.mark.parametrize(
    ("hosts", "user", "allowed"),
    [
        (("n1",), "system:node:n1", True),
        (("n1", "n2"), "system:node:n1", False),
        (("kubernetes",), "system:node:n1", False),
        (("n1",), "system:node:n2", False),
    ],
)
def test_a_node_is_given_a_certificate_of_its_own_name_alone(hosts: tuple[str, ...], user: str, allowed: bool) -> None:
    _, text = make_request("system:node:n1", ("system:nodes",), hosts)
    spec = {"username": user, "usages": ["digital signature", "server auth"]}
    assert is_own_server(spec, read_request(text)) is allowed


def test_a_certificate_is_renewed_at_four_fifths_of_its_life() -> None:
    life = (NOW, NOW + datetime.timedelta(days=100))
    assert seconds_left(life, NOW) == 80 * 86400
    assert seconds_left(life, NOW + datetime.timedelta(days=80)) == 0
    assert seconds_left(None, NOW) == 0


async def test_certificates_are_signed_kept_and_renewed(tmp_path: Path) -> None:
    moved = datetime.timedelta()

    def now() -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + moved

    async with running_world(tmp_path / "world") as world:
        bootstrap = User(
            "system:bootstrap:abcdef",
            ("system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"),
        )
        authority = world.authority.ca_pem.decode()
        kept = NodeCertificates(tmp_path / "pki", "n1", authority, now, seconds=3600)
        await kept.begin(world.client_of(bootstrap))
        first = kept.client.path
        assert first is not None and first.stat().st_mode & 0o777 == 0o600
        begin, end = life_of(first.read_bytes())
        assert end - begin == datetime.timedelta(hours=1)
        client: Client = world.client_of(NODE)
        await kept.ensure_serving(client)
        context = kept.context()
        assert kept.context() is context and kept.trust.certificate == str(first)
        again = NodeCertificates(tmp_path / "pki", "n1", authority, now)  # after a restart nothing is asked for
        assert again.client.path == first and seconds_left(again.client.life(), now()) > 0
        moved = datetime.timedelta(minutes=50)
        assert seconds_left(kept.client.life(), now()) < 0
        await kept.renew(client, kept.client)
        await kept.renew(client, kept.serving)
        assert kept.client.path != first and first.exists()  # whoever reads it still may
        assert kept.version == 3 and kept.context() is not context
        await kept.renew(client, kept.client)
        assert not first.exists()
        with pytest.raises(Denied, match="was refused"):
            await have_signed(_as_other(world), SERVING, "n9")


def _as_other(world: World) -> Client:
    """Nobody approves this one: it is refused by hand as soon as it is there."""
    return _Refusing(world)  # type: ignore[return-value]


class _Refusing:
    """A client whose requests for certificates a person denies."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def create(self, resource: str, namespace: str, object: dict[str, Any]) -> dict[str, Any]:
        made = await self._world.client.create(resource, namespace, object)
        condition = {"type": "Denied", "status": "True", "reason": "No", "message": "not this one"}
        denied = {**made, "status": {"conditions": [condition]}}
        await self._world.client.update(resource, denied, subresource="approval")
        return made

    def watch(self, resource: str, **words: Any) -> Any:
        return self._world.client.watch(resource, **words)
