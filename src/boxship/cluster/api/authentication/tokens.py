"""Tokens of service accounts: bound to an audience, a time and maybe a pod, secret or node (kubernetes.io, "Managing
Service Accounts"; KEP 1205), and the old kind that lies in a secret.

A token is good as long as its signature and time are, and everything that it is bound to still exists with the same
uid. So it is checked against the stored objects at each use, and only its signature is remembered.
"""

import base64
import datetime
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.request import User
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import built_in
from boxship.cluster.objects.failure import bad_request, conflict, not_found, unauthorized
from boxship.cluster.objects.times import moment, stamp
from boxship.errors import Unauthenticated
from boxship.pki.cluster_tokens import TokenKeys

LEGACY_ISSUER = "kubernetes/serviceaccount"
LEGACY_PREFIX = "kubernetes.io/serviceaccount/"
USER_PREFIX = "system:serviceaccount:"
ALL_ACCOUNTS = "system:serviceaccounts"
EXTRA = "authentication.kubernetes.io/"
LIFE = 3600  # seconds, where a request names none
WARN_LIFE = 3607  # what the original's pods ask for: such a token outlives it, for clients that do not read it again
EXTENDED_LIFE = 365 * 24 * 3600
LEEWAY = 60  # seconds by which clocks may differ
DELETION_LEEWAY = 60  # a pod that is being deleted may still use its token so long


class Bound(msgspec.Struct, frozen=True):
    """What a token is bound to besides its account."""

    kind: str  # Pod, Secret, Node
    name: str
    uid: str


class TokenIssuer:
    """Makes and checks tokens. `issuer` is the URL that stands in them; `audiences` are the API's own names."""

    def __init__(
        self, lookup: Lookup, keys: TokenKeys, clock: Clock, *, issuer: str, audiences: Sequence[str] = ()
    ) -> None:
        self._lookup = lookup
        self._keys = keys
        self._clock = clock
        self.issuer = issuer
        self.audiences = tuple(audiences) or (issuer,)

    def read(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that says it is one of ours; None: it is something else. Raises Unauthenticated."""
        if token.count(".") != 2:
            return None
        return self._keys.read(token)

    async def review(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]] | None:
        """The user of a token, and those of the audiences (the API's own, where none are given) that it is for. None:
        it is no such token. Raises Failure Unauthorized."""
        try:
            claims = self.read(token)
            if claims is None:
                return None
            wanted = tuple(audiences) or self.audiences
            if claims.get("iss") == LEGACY_ISSUER:
                return await self._legacy_user(claims, token), _audiences(self.audiences, wanted)
            return await self._user(claims, wanted)
        except Unauthenticated as error:
            raise unauthorized(str(error)) from error
        except (TypeError, AttributeError, ValueError, KeyError) as error:
            raise unauthorized("invalid bearer token: its claims are not as they should be") from error

    async def issue(self, namespace: str, name: str, request: Object) -> Object:
        """Answers a TokenRequest for a service account: the request with its status. Raises Failure."""
        account = await self._lookup.get("v1/serviceaccounts", namespace, name)
        if account is None:
            resource = built_in("", "v1", "serviceaccounts")
            assert resource is not None
            raise not_found(resource, name)
        spec = dict(request.get("spec") or {})
        spec["audiences"] = list(spec.get("audiences") or self.audiences)
        spec["expirationSeconds"] = seconds = int(spec.get("expirationSeconds") or LIFE)
        bound, node = await self._bound(namespace, name, spec.get("boundObjectRef"))
        now = self._clock.now()
        warn_after = 0
        life = seconds
        if bound and bound.kind == "Pod" and seconds == WARN_LIFE and set(spec["audiences"]) <= set(self.audiences):
            warn_after, life = int(now.timestamp()) + seconds, EXTENDED_LIFE
        claims = self._claims(namespace, name, account, spec["audiences"], now, life)
        claims["kubernetes.io"] |= {
            one.kind.lower(): {"name": one.name, "uid": one.uid} for one in (bound, node) if one
        }
        if warn_after:
            claims["kubernetes.io"]["warnafter"] = warn_after
        end = stamp(now + datetime.timedelta(seconds=seconds))
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": stamp(now)},
            "spec": spec,
            "status": {"token": self._keys.sign(claims), "expirationTimestamp": end},
        }

    def legacy_token(self, namespace: str, name: str, uid: str, secret: str) -> str:
        """The token that lies in a secret of the type kubernetes.io/service-account-token: without an end."""
        return self._keys.sign(
            {
                "iss": LEGACY_ISSUER,
                f"{LEGACY_PREFIX}namespace": namespace,
                f"{LEGACY_PREFIX}secret.name": secret,
                f"{LEGACY_PREFIX}service-account.name": name,
                f"{LEGACY_PREFIX}service-account.uid": uid,
                "sub": f"{USER_PREFIX}{namespace}:{name}",
            }
        )

    def discovery_document(self, server: str) -> bytes:
        """What OpenID clients read at /.well-known/openid-configuration; `server` is the API's URL."""
        document = {
            "issuer": self.issuer,
            "jwks_uri": f"{server.rstrip('/')}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": self._keys.algorithms,
        }
        return msgspec.json.encode(document)

    def key_set(self) -> bytes:
        """What they read at /openid/v1/jwks."""
        return msgspec.json.encode(self._keys.key_set())

    def _claims(
        self, namespace: str, name: str, account: Object, audiences: list[str], now: datetime.datetime, life: int
    ) -> dict[str, Any]:
        begin = int(now.timestamp())
        return {
            "aud": audiences,
            "exp": begin + life,
            "iat": begin,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": account["metadata"].get("uid", "")},
            },
            "nbf": begin,
            "sub": f"{USER_PREFIX}{namespace}:{name}",
        }

    async def _bound(
        self, namespace: str, account: str, reference: dict[str, str] | None
    ) -> tuple[Bound | None, Bound | None]:
        """What a new token is bound to; for a pod its node as well."""
        if not reference:
            return None, None
        kind, name = reference.get("kind", ""), reference.get("name", "")
        plural = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}.get(kind)
        resource = built_in("", "v1", plural or "")
        if resource is None or reference.get("apiVersion", "v1") != "v1":
            raise bad_request(f"cannot bind token to object of type {reference.get('apiVersion', '')}, Kind={kind}")
        object = await self._lookup.get(resource.path, namespace if resource.namespaced else "", name)
        if object is None:
            raise not_found(resource, name)
        spec, uid = object.get("spec") or {}, object["metadata"].get("uid", "")
        if kind == "Pod" and spec.get("serviceAccountName") != account:
            raise bad_request(
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            )
        if reference.get("uid") and reference["uid"] != uid:
            why = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise conflict(resource, name, why)
        node = None
        if kind == "Pod" and spec.get("nodeName"):
            found = await self._lookup.get("v1/nodes", "", spec["nodeName"])
            node = Bound("Node", spec["nodeName"], found["metadata"].get("uid", "") if found else "")
        return Bound(kind, name, uid), node

    async def _user(self, claims: dict[str, Any], wanted: Sequence[str]) -> tuple[User, tuple[str, ...]]:
        if claims.get("iss") != self.issuer:
            raise Unauthenticated("invalid bearer token: another cluster issued it")
        now = self._clock.now()
        _check_time(claims, now)
        audience = claims.get("aud") or ()
        shared = _audiences([audience] if isinstance(audience, str) else audience, wanted)
        private = claims["kubernetes.io"]
        namespace, account = private["namespace"], private["serviceaccount"]
        await self._check_exists("v1/serviceaccounts", namespace, account, now)
        extra: dict[str, tuple[str, ...]] = {}
        if claims.get("jti"):
            extra[f"{EXTRA}credential-id"] = (f"JTI={claims['jti']}",)
        if private.get("secret"):
            await self._check_exists("v1/secrets", namespace, private["secret"], now)
        if private.get("pod"):
            await self._check_exists("v1/pods", namespace, private["pod"], now)
            extra |= _named("pod", private["pod"])
        if private.get("node"):
            if not private.get("pod"):
                await self._check_exists("v1/nodes", "", private["node"], now)
            extra |= _named("node", private["node"])
        return account_user(namespace, account["name"], account["uid"], extra), shared

    async def _legacy_user(self, claims: dict[str, Any], token: str) -> User:
        now = self._clock.now()
        namespace = claims[f"{LEGACY_PREFIX}namespace"]
        name, uid = claims[f"{LEGACY_PREFIX}service-account.name"], claims[f"{LEGACY_PREFIX}service-account.uid"]
        secret_name = claims[f"{LEGACY_PREFIX}secret.name"]
        secret = await self._lookup.get("v1/secrets", namespace, secret_name)
        if secret is None or (secret["metadata"].get("deletionTimestamp") and _is_over(secret, now)):
            raise Unauthenticated("Token has been invalidated")
        if token_of(secret) != token:
            raise Unauthenticated("Token does not match server's copy")
        await self._check_exists("v1/serviceaccounts", namespace, {"name": name, "uid": uid}, now)
        return account_user(namespace, name, uid, {})

    async def _check_exists(self, resource: str, namespace: str, named: dict[str, str], now: datetime.datetime) -> None:
        """Raises Unauthenticated where the thing is gone, or is another by now."""
        object = await self._lookup.get(resource, namespace, named["name"])
        kind = resource.removeprefix("v1/").removesuffix("s")
        if object is None or _is_over(object, now):
            raise Unauthenticated(f"invalid bearer token: the {kind} {named['name']} is gone")
        if object["metadata"].get("uid") != named["uid"]:
            raise Unauthenticated(f"invalid bearer token: the {kind} {named['name']} is another by now")


def account_user(namespace: str, name: str, uid: str, extra: dict[str, tuple[str, ...]]) -> User:
    """The user that a service account is."""
    groups = (ALL_ACCOUNTS, f"{ALL_ACCOUNTS}:{namespace}", "system:authenticated")
    return User(f"{USER_PREFIX}{namespace}:{name}", groups, uid, extra)


def token_of(secret: Object) -> str:
    """The token in a secret, decoded."""
    return text_in(secret, "token")


def text_in(secret: Object, key: str) -> str:
    """What a secret holds under a key, decoded; "" where there is no text."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, "")).decode()
    except ValueError:
        return ""


def _check_time(claims: dict[str, Any], now: datetime.datetime) -> None:
    moment_now = now.timestamp()
    if moment_now > float(claims["exp"]) + LEEWAY:
        raise Unauthenticated("Token has expired")
    if moment_now < float(claims.get("nbf", 0)) - LEEWAY:
        raise Unauthenticated("Token is not valid yet")


def _is_over(object: Object, now: datetime.datetime) -> bool:
    """Whether its deletion began so long ago that its tokens hold no more."""
    begun = object["metadata"].get("deletionTimestamp")
    return bool(begun) and (now - moment(begun)).total_seconds() > DELETION_LEEWAY


def _named(kind: str, named: dict[str, str]) -> dict[str, tuple[str, ...]]:
    found = {f"{EXTRA}{kind}-name": named.get("name", ""), f"{EXTRA}{kind}-uid": named.get("uid", "")}
    return {key: (value,) for key, value in found.items() if value}


def _audiences(own: Iterable[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of `wanted` that a token is for. Raises Unauthenticated where there is none."""
    held = list(own)
    shared = tuple(one for one in wanted if one in held)
    if not shared:
        raise Unauthenticated(f"token audiences {held!r} is invalid for the target audiences {list(wanted)!r}")
    return shared
