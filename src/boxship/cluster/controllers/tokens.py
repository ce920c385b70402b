"""Secrets of the type kubernetes.io/service-account-token hold a token of their account, and go with it (kubernetes.io,
"Manually create a long-lived API token for a ServiceAccount")."""

import base64
from collections.abc import Callable

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

TYPE = "kubernetes.io/service-account-token"
NAME, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
Sign = Callable[[str, str, str, str], str]  # namespace, account, its uid, secret → token


def uid_only(account: Object) -> str:
    """What is kept of a service account."""
    return str(account["metadata"].get("uid", ""))


class TokenSecrets:
    """`accounts` keeps uids, `secrets` follows those of the type alone."""

    name = "tokens-controller"
    workers = 2

    def __init__(self, client: Client, accounts: Cache, secrets: Cache, sign: Sign, authority: bytes) -> None:
        self._client = client
        self._accounts = accounts
        self._secrets = secrets
        self._sign = sign
        self._authority = authority
        self.caches = (accounts, secrets)
        self.queue: Queue[Key] = Queue()
        accounts.subscribe(self._account_changed)
        secrets.subscribe(self._secret_changed)

    async def reconcile(self, key: Key) -> Again | None:
        secret = self._secrets.get(key)
        if secret is None or secret["metadata"].get("deletionTimestamp"):
            return None
        namespace, name = key
        account = account_of(secret)
        if not account:
            return None
        uid = await self._uid(namespace, account)
        noted = (secret["metadata"].get("annotations") or {}).get(UID)
        try:
            if not uid or (noted and noted != uid):
                await self._client.delete("v1/secrets", namespace, name, uid=secret["metadata"]["uid"])
                return None
            filled = completed(secret, uid, self._authority, lambda: self._sign(namespace, account, uid, name))
            if filled is not None:
                await self._client.update("v1/secrets", filled)
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
        return None

    async def _uid(self, namespace: str, account: str) -> str:
        """The account's uid, "" where there is none: asked anew before anything is taken away."""
        known = self._accounts.get((namespace, account))
        if known:
            return str(known)
        try:
            return uid_only(await self._client.get("v1/serviceaccounts", namespace, account))
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
            return ""

    def _account_changed(self, key: Key, old: str | None, new: str | None) -> None:
        if old == new:
            return
        for place, secret in self._secrets.items():
            if place[0] == key[0] and account_of(secret) == key[1]:
                self.queue.add(place)

    def _secret_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(key)


def account_of(secret: Object) -> str:
    return str((secret["metadata"].get("annotations") or {}).get(NAME, ""))


def completed(secret: Object, uid: str, authority: bytes, sign: Callable[[], str]) -> Object | None:
    """The secret with all that belongs into it; None: it is there."""
    data = secret.get("data") or {}
    annotations = secret["metadata"].get("annotations") or {}
    wanted = {"ca.crt": _text(authority), "namespace": _text(secret["metadata"]["namespace"].encode())}
    if data.get("token") and data.items() >= wanted.items() and annotations.get(UID) == uid:
        return None
    token = data.get("token") or _text(sign().encode())
    metadata = {**secret["metadata"], "annotations": {**annotations, UID: uid}}
    return {**secret, "metadata": metadata, "data": {**data, **wanted, "token": token}}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
