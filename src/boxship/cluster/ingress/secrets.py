"""The secrets that Ingresses name, each followed by itself: a node may see no others."""

import asyncio
import base64
import binascii
import contextlib
import functools
import logging
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

log = logging.getLogger(__name__)

RESOURCE = "v1/secrets"
AGAIN_SECONDS = 1.0
# What the C library can compare, and soon: haproxy answers nobody else on that thread meanwhile.
HASH = re.compile(r"(\$1|\$2[aby]\$(0[4-9]|1[0-2])|\$[56](\$rounds=[0-9]{1,6})?|\$y\$j[7-9AB][5T])\$[A-Za-z0-9./$]+")
USER = re.compile(r"[A-Za-z0-9._@-]+")


class Secrets:
    """`changed` is told that something is other than before."""

    def __init__(self, source: Source, changed: Callable[[], None]) -> None:
        self._source = source
        self._changed = changed
        self._wanted: dict[Key, Cache] = {}
        self._others = asyncio.Event()  # others are wanted than before

    def follow(self, wanted: Iterable[Key]) -> None:
        """These from now on, and no others."""
        keys = set(wanted)
        for key in self._wanted.keys() - keys:
            del self._wanted[key]
        for key in keys - self._wanted.keys():
            source = OneNamespace(self._source, key[0])
            self._wanted[key] = Cache(source, RESOURCE, keep=_data, fields=f"metadata.name={key[1]}")
            self._wanted[key].subscribe(lambda *_: self._changed())
        self._others.set()

    async def run(self) -> None:
        """Without end."""
        followed: dict[Cache, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._others.wait()
                self._others.clear()
                wanted = set(self._wanted.values())
                for cache in followed.keys() - wanted:
                    followed.pop(cache).cancel()
                for cache in wanted - followed.keys():
                    followed[cache] = tasks.create_task(_follow_always(cache))

    def get(self, key: Key) -> Mapping[str, bytes] | None:
        """Its data; None: it is not there, or not known yet."""
        cache = self._wanted.get(key)
        found: Mapping[str, bytes] | None = cache.get(key) if cache else None
        return found

    async def known(self, seconds: float) -> None:
        """All of them are known, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for cache in list(self._wanted.values()):
                    await cache.ready()


async def _follow_always(cache: Cache) -> None:
    """One secret that cannot be read keeps nobody from following the others."""
    while True:
        try:
            await cache.run()
        except Exception:
            log.exception("a secret of Ingresses is followed anew")
        await asyncio.sleep(AGAIN_SECONDS)


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
