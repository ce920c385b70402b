"""Bound tokens of service accounts for projected volumes: asked for once, and anew when most of their time is over.

Source: kubernetes.io, "Managing Service Accounts" (bound tokens), TokenRequest API. A token is bound to its pod: it is
worth nothing when the pod is gone.
"""

import random
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.cluster.access import Writer
from boxship.cluster.objects import Object

ACCOUNTS = "v1/serviceaccounts"
DAY = 86_400.0
SHARE = 0.8  # of its time, after which a token is replaced
JITTER_SECONDS = 10.0
DEFAULT_SECONDS = 3600


class Token(msgspec.Struct, frozen=True):
    """`renew_at` is a time.monotonic(): neither the server's clock nor a jump of ours counts."""

    text: str
    renew_at: float


class Tokens:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._known: dict[str, dict[tuple[str, int], Token]] = {}  # by the pod's uid

    async def of(self, pod: Object, source: Mapping[str, Any]) -> str:
        """The token of a projected source. Raises Failure."""
        uid = pod["metadata"]["uid"]
        audience, seconds = source.get("audience") or "", int(source.get("expirationSeconds") or DEFAULT_SECONDS)
        known = self._known.setdefault(uid, {})
        found = known.get((audience, seconds))
        if found is None or found.renew_at <= time.monotonic():
            found = await self._ask(pod, audience, seconds)
            known[audience, seconds] = found
        return found.text

    def due(self, uid: str) -> float | None:
        """Seconds until the first of a pod's tokens has to be replaced; None where it has none."""
        known = self._known.get(uid)
        return max(min(token.renew_at for token in known.values()) - time.monotonic(), 0.0) if known else None

    def forget(self, uid: str) -> None:
        self._known.pop(uid, None)

    async def _ask(self, pod: Object, audience: str, seconds: int) -> Token:
        metadata = pod["metadata"]
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": pod["spec"].get("serviceAccountName") or "default"},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        }
        asked = time.monotonic()
        answer = await self._writer.create(ACCOUNTS, metadata["namespace"], request, subresource="token")
        life = float((answer.get("spec") or {}).get("expirationSeconds") or seconds)
        renew = min(life * SHARE, DAY) - random.uniform(0, min(JITTER_SECONDS, life * 0.05))
        return Token(str(answer["status"]["token"]), asked + renew)
