"""As whom a user acts: `--as` of kubectl. Each part of the other identity is a right of its own (kubernetes.io, "User
impersonation")."""

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from boxship.cluster.api.authentication.tokens import ALL_ACCOUNTS, USER_PREFIX
from boxship.cluster.api.authorization.authorizer import ANONYMOUS, Authorizer
from boxship.cluster.api.request import Ask, User
from boxship.cluster.objects.failure import bad_request

GROUP = "authentication.k8s.io"
EXTRA_HEADER = "impersonate-extra-"
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"


async def acting_user(user: User, headers: Mapping[str, list[str]], authorizer: Authorizer) -> User:
    """The user that the headers name, after every part was allowed. Raises Failure Forbidden, BadRequest."""
    if not any(name.startswith("impersonate-") for name in headers):
        return user
    name = (headers.get("impersonate-user") or [""])[0]
    groups = [group for group in headers.get("impersonate-group", ()) if group]
    uid = (headers.get("impersonate-uid") or [""])[0]
    extra: dict[str, tuple[str, ...]] = {}
    for header, values in headers.items():
        if header.startswith(EXTRA_HEADER):
            extra[unquote(header.removeprefix(EXTRA_HEADER)).lower()] = tuple(values)
    if not name:
        if groups or uid or extra:
            raise bad_request("requested groups, a uid or extra without impersonating a user")
        return user
    for ask in _asks(user, name, groups, uid, extra):
        await authorizer.check(ask)
    return User(name, tuple(_groups(name, groups)), uid, extra)


def _asks(user: User, name: str, groups: list[str], uid: str, extra: dict[str, tuple[str, ...]]) -> Iterator[Ask]:
    namespace, account = account_of(name)
    if account:
        yield Ask(user, "impersonate", "", "v1", "serviceaccounts", namespace=namespace, name=account)
    else:
        yield Ask(user, "impersonate", "", "v1", "users", name=name)
    for group in groups:
        yield Ask(user, "impersonate", "", "v1", "groups", name=group)
    if uid:
        yield Ask(user, "impersonate", GROUP, "v1", "uids", name=uid)
    for key, values in extra.items():
        for value in values:
            yield Ask(user, "impersonate", GROUP, "v1", "userextras", subresource=key, name=value)


def _groups(name: str, groups: list[str]) -> list[str]:
    """The groups that come by themselves are added, as when the other came itself."""
    namespace, account = account_of(name)
    if account and not groups:
        groups = [ALL_ACCOUNTS, f"{ALL_ACCOUNTS}:{namespace}"]
    own = UNAUTHENTICATED if name == ANONYMOUS else AUTHENTICATED
    return groups if own in groups or UNAUTHENTICATED in groups else [*groups, own]


def account_of(user: str) -> tuple[str, str]:
    """Namespace and name of the service account that a user name is; two empty texts for others."""
    parts = user.removeprefix(USER_PREFIX).split(":")
    if user.startswith(USER_PREFIX) and len(parts) == 2 and all(parts):
        return parts[0], parts[1]
    return "", ""
