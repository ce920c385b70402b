"""Bootstrap tokens: how a machine that knows nothing yet may ask for a certificate (kubernetes.io, "Authenticating with
Bootstrap Tokens"). Each lies in a secret of kube-system that says until when and for what it is good.
"""

import hmac
import re
from datetime import datetime

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.authentication.tokens import text_in
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.request import User
from boxship.cluster.objects.times import moment

TYPE = "bootstrap.kubernetes.io/token"
NAMESPACE = "kube-system"
PREFIX = "bootstrap-token-"
BOOTSTRAPPERS = "system:bootstrappers"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokens:
    """Reads the secrets as they are at each use."""

    def __init__(self, lookup: Lookup, clock: Clock) -> None:
        self._lookup = lookup
        self._clock = clock

    async def user(self, token: str) -> User | None:
        """Whose it is; None: nobody's."""
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            return None
        name, key = parts.groups()
        secret = await self._lookup.get("v1/secrets", NAMESPACE, f"{PREFIX}{name}")
        if secret is None or secret.get("type") != TYPE or secret["metadata"].get("deletionTimestamp"):
            return None
        known = hmac.compare_digest(text_in(secret, "token-secret").encode(), key.encode())
        if not known or text_in(secret, "token-id") != name:
            return None
        if text_in(secret, "usage-bootstrap-authentication") != "true":
            return None
        if is_expired(text_in(secret, "expiration"), self._clock.now()):
            return None
        groups = [group for group in text_in(secret, "auth-extra-groups").split(",") if group]
        if not all(_GROUP.fullmatch(group) for group in groups):
            return None
        named = tuple(dict.fromkeys((BOOTSTRAPPERS, *groups, "system:authenticated")))
        return User(f"system:bootstrap:{name}", named)


def is_expired(expiration: str, now: datetime) -> bool:
    """What cannot be read as a time is over; no time is none."""
    if not expiration:
        return False
    try:
        return moment(expiration) <= now
    except ValueError:
        return True
