"""Secrets at rest: sealed by the first key, opened by all, bound to their place, sealed again when keys change."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from boxship.cluster.api.sealing.rotation import reseal
from boxship.cluster.api.sealing.sealer import ConfiguredSealer
from boxship.cluster.api.sealing.settings import default_sealer, no_sealer, own_key, sealer_of
from boxship.cluster.objects.catalog import built_in
from boxship.errors import Denied, Internal, Invalid, Unsupported
from boxship.store import Put
from boxship.store.memory import MemoryStore

KEY = "/registry/secrets/default/x"
VALUE = b'{"kind":"Secret"}'


def key(name: str, size: int = 32) -> dict[str, str]:
    return {"name": name, "secret": base64.b64encode(name.encode()[:1] * size).decode()}


def configuration(*entries: tuple[list[str], list[dict[str, Any]]]) -> dict[str, Any]:
    resources = [{"resources": names, "providers": providers} for names, providers in entries]
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": resources}


def made(*providers: dict[str, Any], resources: tuple[str, ...] = ("secrets",)) -> ConfiguredSealer:
    return sealer_of(configuration((list(resources), list(providers))))


GCM, BOX, PLAIN = {"aesgcm": {"keys": [key("a")]}}, {"secretbox": {"keys": [key("b")]}}, {"identity": {}}
CBC = {"aescbc": {"keys": [key("c")]}}


@pytest.mark.parametrize(("provider", "mark"), [(GCM, b"k8s:enc:aesgcm:v1:a:"), (BOX, b"k8s:enc:secretbox:v1:b:")])
def test_values_are_sealed_and_opened(provider: dict[str, Any], mark: bytes) -> None:
    sealer = made(provider, PLAIN)
    sealed = sealer.seal(KEY, "secrets", VALUE)
    assert sealed.startswith(mark) and VALUE not in sealed
    assert sealer.seal(KEY, "secrets", VALUE) != sealed
    assert sealer.open(KEY, sealed) == VALUE == sealer.open(KEY, VALUE)
    with pytest.raises(Internal, match="cannot read"):
        sealer.open(KEY, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(Internal):
        sealer.open(KEY, sealed[: len(mark) + 3])
    with pytest.raises(Internal, match="unknown here"):
        sealer.open(KEY, b"k8s:enc:aesgcm:v1:other:" + sealed)


def test_aescbc_is_what_others_mean_by_it() -> None:
    """By `openssl enc -aes-256-cbc -K 63…63 -iv 00…0f`, as the original's: the first block, then the padded text."""
    sealer = made(CBC)
    sealed = sealer.seal(KEY, "secrets", VALUE)
    assert sealed.startswith(b"k8s:enc:aescbc:v1:c:") and VALUE not in sealed
    assert sealer.seal(KEY, "secrets", VALUE) != sealed
    assert sealer.open(KEY, sealed) == VALUE
    with pytest.raises(Internal, match="cannot read"):
        sealer.open(KEY, sealed[:-1])
    data = "AAECAwQFBgcICQoLDA0OD+Z6ggNU16H2gQ9/N+oW9aYPRIie8ODz/ArCBP8L+3vQ"
    assert made(CBC).open(KEY, b"k8s:enc:aescbc:v1:c:" + base64.b64decode(data)) == VALUE
    other = made({"aescbc": {"keys": [{**key("d"), "name": "c"}]}})
    with pytest.raises(Internal, match="cannot read"):
        other.open(KEY, b"k8s:enc:aescbc:v1:c:" + base64.b64decode(data))


def test_a_sealed_value_belongs_to_its_place() -> None:
    sealer = made(GCM)
    with pytest.raises(Internal):
        sealer.open("/registry/secrets/default/y", sealer.seal(KEY, "secrets", VALUE))


def test_which_resources_are_sealed() -> None:
    sealer = sealer_of(
        configuration((["secrets", "widgets.example.com"], [GCM]), (["*.apps"], [BOX]), (["*.*"], [PLAIN, GCM]))
    )
    assert sealer.seal(KEY, "secrets", VALUE) != VALUE
    assert sealer.seal(KEY, "widgets.example.com", VALUE).startswith(b"k8s:enc:aesgcm")
    assert sealer.seal(KEY, "deployments.apps", VALUE).startswith(b"k8s:enc:secretbox")
    assert sealer.seal(KEY, "configmaps", VALUE) == VALUE
    assert made(GCM, resources=("*.",)).seal(KEY, "configmaps", VALUE) != VALUE


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"kind": "EncryptionConfiguration", "apiVersion": "v1"},
        configuration(),
        configuration((["secrets"], [])),
        configuration(([], [GCM])),
        configuration((["Secrets!"], [GCM])),
        configuration((["secrets"], [{"aesgcm": {}}])),
        configuration((["secrets"], [{"aesgcm": {"keys": [key("a", 5)]}}])),
        configuration((["secrets"], [{"secretbox": {"keys": [key("a", 16)]}}])),
        configuration((["secrets"], [{"aesgcm": {"keys": [{"name": "a", "secret": "?"}]}}])),
        configuration((["secrets"], [{"aesgcm": {"keys": [{**key("a"), "name": "a:b"}]}}])),
        configuration((["secrets"], [{**GCM, **BOX}])),
        configuration((["secrets"], [GCM]), (["configmaps"], [{"aesgcm": {"keys": [{**key("z"), "name": "a"}]}}])),
    ],
)
def test_a_wrong_configuration_is_refused(document: Any) -> None:
    with pytest.raises(Invalid):
        sealer_of(document)


def test_what_is_not_supported_is_named() -> None:
    with pytest.raises(Unsupported, match="unsupported: the encryption provider kms"):
        made({"kms": {"name": "x"}})


def test_a_cluster_makes_its_own_key(tmp_path: Path) -> None:
    path = tmp_path / "encryption.key"
    sealed = default_sealer(path).seal(KEY, "secrets", VALUE)
    assert path.stat().st_mode & 0o777 == 0o600
    assert default_sealer(path).open(KEY, sealed) == VALUE
    later = sealer_of(configuration((["secrets"], [BOX])), [own_key(path)])  # a configuration is introduced
    assert later.open(KEY, sealed) == VALUE and later.is_stale("secrets", sealed)
    assert no_sealer(path).open(KEY, sealed) == VALUE == no_sealer(path).seal(KEY, "secrets", VALUE)
    os.chmod(path, 0o644)
    with pytest.raises(Denied):
        default_sealer(path)


async def test_stale_values_are_sealed_again() -> None:
    secrets = built_in("", "v1", "secrets")
    assert secrets is not None
    store, old = MemoryStore(), made(BOX)
    for index in range(5):
        place = f"/registry/secrets/default/s{index}"
        await store.commit(Put(place, old.seal(place, "secrets", VALUE) if index else VALUE))
    await store.commit(Put("/registry/configmaps/default/c", VALUE))
    both = made(GCM, BOX, PLAIN)
    assert await reseal(store, both, [secrets]) == 5
    assert await reseal(store, both, [secrets]) == 0
    alone = made(GCM)
    for entry in (await store.list("/registry/secrets/")).entries:
        assert alone.open(entry.key, entry.value) == VALUE
