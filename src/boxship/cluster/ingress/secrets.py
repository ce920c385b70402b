"""The secrets that Ingresses name, each followed by itself: a node may see no others."""

import asyncio
import base64
import binascii
import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Mapping

from boxship.cluster.ingress.older_hashes import OLDER
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.following import Source
from boxship.cluster.reconcile.narrowed import OneNamespace
from boxship.errors import BoxshipError
from boxship.pki.certificates import load_certificates
from boxship.pki.keys import load_key, same_public

RESOURCE = "v1/secrets"
# What the C library can compare.
HASH = re.compile(r"\$(1|2[aby]|5|6|y)\$[A-Za-z0-9./$=,]+")
USER = re.compile(r"[A-Za-z0-9._@-]+")


class Secrets:
    """`changed` is told that something is other than before."""

    def __init__(self, source: Source, changed: Callable[[], None]) -> None:
        self._source = source
        self._changed = changed
        self._followed: dict[Key, tuple[Cache, asyncio.Task[None]]] = {}

    def follow(self, wanted: Iterable[Key]) -> None:
        """These from now on, and no others."""
        keys = set(wanted)
        for key in [key for key in self._followed if key not in keys]:
            self._followed.pop(key)[1].cancel()
        for key in keys - set(self._followed):
            cache = Cache(OneNamespace(self._source, key[0]), RESOURCE, fields=f"metadata.name={key[1]}")
            cache.subscribe(lambda *_: self._changed())
            task = asyncio.get_running_loop().create_task(cache.run())
            task.add_done_callback(_seen)
            self._followed[key] = (cache, task)

    def get(self, key: Key) -> Mapping[str, bytes] | None:
        """Its data; None: it is not there, or not known yet."""
        followed = self._followed.get(key)
        found = followed[0].get(key) if followed else None
        return None if found is None else _data(found)

    async def known(self, seconds: float) -> None:
        """All of them are known, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for cache, _ in list(self._followed.values()):
                    await cache.ready()

    def close(self) -> None:
        self.follow(())


def _seen(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()


def _data(secret: Object) -> Mapping[str, bytes]:
    found = {}
    for name, text in (secret.get("data") or {}).items():
        with contextlib.suppress(binascii.Error, ValueError):
            found[name] = base64.b64decode(text)
    return found


def certificate_of(data: Mapping[str, bytes] | None) -> bytes:
    """Certificate and key as one file; b"" where it has not both, or they do not belong together: haproxy would then
    serve nobody."""
    if data is None:
        return b""
    return _joined(data.get("tls.crt", b"").strip(), data.get("tls.key", b"").strip())


@functools.lru_cache(maxsize=1024)
def _joined(certificate: bytes, key: bytes) -> bytes:
    try:
        found, private = load_certificates(certificate, "tls.crt"), load_key(key, None, "tls.key")
    except BoxshipError:
        return b""
    if not found or not same_public(private.public_key(), found[0].public_key()):
        return b""
    return certificate + b"\n" + key + b"\n"


def is_hash(text: str) -> bool:
    return bool(HASH.fullmatch(text) or OLDER.fullmatch(text))


def accounts_of(data: Mapping[str, bytes] | None, *, is_map: bool) -> dict[str, str] | None:
    """User → hash; None: there is no such secret, or it is not understood, and nobody may come in."""
    if data is None:
        return None
    pairs: list[tuple[str, str]] = []
    if is_map:
        pairs = [(name, value.decode(errors="replace").strip()) for name, value in data.items()]
    else:
        for line in data.get("auth", b"").decode(errors="replace").splitlines():
            name, colon, hashed = line.strip().partition(":")
            if colon:
                pairs.append((name, hashed))
    found = {name: hashed for name, hashed in pairs if USER.fullmatch(name) and is_hash(hashed)}
    return found or None
