"""Signs the config map `cluster-info`, by which a machine that has nothing but a bootstrap token knows that it talks to
the right cluster (kubernetes.io, "Authenticating with Bootstrap Tokens", ConfigMap Signing).

For each token that is meant for it there is one field: a detached JSON web signature of the kubeconfig with the token's
secret as the key. A token that ended takes its signature with it.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.times import moment
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

NAMESPACE, NAME = "kube-public", "cluster-info"
KUBECONFIG, PREFIX = "kubeconfig", "jws-kubeconfig-"
MAPS = "v1/configmaps"


class ClusterInfoSigner:
    """`maps` follows cluster-info alone, `tokens` the secrets of bootstrap tokens."""

    name = "bootstrap-signer"
    workers = 1

    def __init__(self, client: Client, maps: Cache, tokens: Cache, now: Callable[[], datetime]) -> None:
        self._client = client
        self._maps = maps
        self._tokens = tokens
        self._now = now
        self.caches = (maps, tokens)
        self.queue: Queue[str] = Queue()
        maps.subscribe(self._changed)
        tokens.subscribe(self._changed)

    async def reconcile(self, _: str) -> Again | None:
        current = self._maps.get((NAMESPACE, NAME))
        if current is None:
            return None
        data = signed(current.get("data") or {}, self._tokens_now())
        if data != (current.get("data") or {}):
            try:
                await self._client.update(MAPS, {**current, "data": data})
            except Failure as failure:
                if failure.reason != "NotFound":
                    raise
        return None

    def _tokens_now(self) -> Iterable[tuple[str, str]]:
        for _, secret in sorted(self._tokens.items()):
            found = token_of(secret, self._now())
            if found is not None:
                yield found

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if key[1] == NAME or key[1].startswith("bootstrap-token-"):
            self.queue.add(NAME)


def token_of(secret: Object, now: datetime) -> tuple[str, str] | None:
    """Id and secret of a token that signs; None for others."""
    data = {key: _text(value) for key, value in (secret.get("data") or {}).items()}
    if secret["metadata"].get("deletionTimestamp") or data.get("usage-bootstrap-signing") != "true":
        return None
    end = data.get("expiration", "")
    try:
        if end and moment(end) <= now:
            return None
    except ValueError:
        return None
    name, key = data.get("token-id", ""), data.get("token-secret", "")
    return (name, key) if name and key else None


def signed(data: dict[str, str], tokens: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The config map's data with one signature for each token, and none besides."""
    text = data.get(KUBECONFIG, "")
    kept = {key: value for key, value in data.items() if not key.startswith(PREFIX)}
    return {**kept, **{f"{PREFIX}{name}": signature(text, name, key) for name, key in tokens}} if text else kept


def signature(text: str, name: str, key: str) -> str:
    """A JSON web signature (RFC 7515, HS256) without its content."""
    head = _plain(msgspec.json.encode({"alg": "HS256", "kid": name}))
    made = hmac.new(key.encode(), f"{head}.{_plain(text.encode())}".encode(), hashlib.sha256).digest()
    return f"{head}..{_plain(made)}"


def _plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _text(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except ValueError:
        return ""
