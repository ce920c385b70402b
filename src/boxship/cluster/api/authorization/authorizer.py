"""May this user do this? First `system:masters`, then the node authoriser, then the roles; all from memory. A node that
an administrator has removed may do nothing, whatever certificate it shows: it is named in a ConfigMap of kube-system.

`decide` answers from what is known; `authorize` looks at the store's newest state before it says no. A refusal names
the roles that would have allowed the request, which the original leaves to be guessed.
"""

import asyncio

import msgspec

from boxship.cluster.api.authorization.mirror import Mirror
from boxship.cluster.api.authorization.nodes import Nodes, node_of
from boxship.cluster.api.authorization.roles import GROUP, Roles
from boxship.cluster.api.authorization.rules import EVERYTHING, Rule
from boxship.cluster.api.request import SYSTEM_MASTERS, Ask, Decision, User
from boxship.cluster.api.storage import Storage
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import built_in
from boxship.cluster.objects.failure import Failure, unauthorized
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.selectors import parse_fields

MASTER = Decision(True)
NAMED_BY_FIELD = ("list", "watch", "deletecollection")
SUGGESTED = 2  # roles
ANONYMOUS, UNAUTHENTICATED = "system:anonymous", "system:unauthenticated"
CLUSTER_INFO = ("get", "", "configmaps", "", "kube-public", "cluster-info")
REMOVED = ("kube-system", "boxship-removed-nodes")  # the ConfigMap; each key is the name of a node
PUBLIC = ("/healthz", "/livez", "/readyz", "/version")


class Authorizer:
    """Built over the storage of one API. Call `prepare` once, and keep `follow` running."""

    def __init__(self, storage: Storage) -> None:
        self.roles = Roles()
        self.nodes = Nodes(storage)
        self._removed: frozenset[str] = frozenset()
        config = built_in("", "v1", "configmaps")
        assert config is not None
        roles = _resources("roles", "clusterroles", "rolebindings", "clusterrolebindings")
        self._mirror = Mirror(storage, [*roles, config], self._told, {config.plural: REMOVED[0]})

    async def prepare(self) -> None:
        """Know all roles that there are."""
        await self._mirror.load()

    async def follow(self) -> None:
        """Without end: know of each change."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._mirror.follow())
            tasks.create_task(self.nodes.follow())

    def decide(self, ask: Ask) -> Decision:
        """From what is known now. A node's first request may find nothing known of its pods yet: see `authorize`."""
        if SYSTEM_MASTERS in ask.user.groups:
            return MASTER
        if is_anonymous(ask.user):
            return Decision((ask.verb == "get" and is_public(ask.path)) or self._may_discover(ask))
        ask = named(ask)
        node = node_of(ask.user)
        reason = ""
        if self.is_removed(ask.user):
            return Decision(False, f'node "{node}" was removed from the cluster')
        if node:
            decision = self.nodes.decide(node, ask)
            if decision.allowed:
                return decision
            reason = decision.reason
        allowed = self.roles.allows(ask)
        return Decision(True, allowed) if allowed else Decision(False, reason)

    def is_removed(self, user: User) -> bool:
        """Whether it is a node that an administrator has removed."""
        return bool(self._removed) and node_of(user) in self._removed

    def _may_discover(self, ask: Ask) -> bool:
        """What a machine has to read before it can know the server: nothing in it is secret, and tokens sign it."""
        about = (ask.verb, ask.group, ask.resource, ask.subresource, ask.namespace, ask.name)
        return about == CLUSTER_INFO and bool(self.roles.allows(ask))

    async def authorize(self, ask: Ask) -> Decision:
        """The same, but no is only said with everything known that was committed up to now."""
        decision = self.decide(ask)
        if decision.allowed or is_anonymous(ask.user):
            return decision
        changed = await self._mirror.refresh()
        if node_of(ask.user):
            changed |= await self.nodes.refresh()
        return self.decide(ask) if changed else decision

    async def check(self, ask: Ask) -> None:
        """Raises Failure Forbidden."""
        decision = await self.authorize(ask)
        if not decision.allowed:
            raise self.refusal(ask, decision)

    def rules_for(self, user: User, namespace: str) -> list[Rule]:
        """All that a user may do in a namespace by its roles."""
        if SYSTEM_MASTERS in user.groups:
            return list(EVERYTHING)
        return [rule for _, rule in self.roles.rules_for(user, namespace)]

    def refusal(self, ask: Ask, decision: Decision) -> Failure:
        """The Failure that a client is told. Nobody in particular is told to say who he is."""
        if is_anonymous(ask.user):
            return unauthorized()
        if self.is_removed(ask.user):
            return forbidden(ask, decision.reason)  # no role would help
        missing = self.roles.missing_role(ask.user, ask.namespace)
        reasons = [decision.reason] if decision.reason else []
        if missing:
            reasons.append("RBAC: " + (missing[0] if len(missing) == 1 else f"[{', '.join(missing)}]"))
        reasons += [text for text in [self._advice(ask)] if text]
        return forbidden(ask, ", ".join(reasons))

    def _advice(self, ask: Ask) -> str:
        """Which role would have helped."""
        places = self.roles.roles_allowing(named(ask))[:SUGGESTED]
        names = [f'the {kind} "{name}"' for kind, _, name in places]
        return f"{' or '.join(names)} would allow it" if names else ""

    def _told(self, resource: Resource, namespace: str, name: str, object: Object | None) -> None:
        if resource.plural != "configmaps":
            self.roles.tell(resource.kind, namespace, name, object)
        elif (namespace, name) == REMOVED:
            self._removed = frozenset((object or {}).get("data") or ())


def is_anonymous(user: User) -> bool:
    """Whether a user showed nothing. Whatever roles say, such a one may look at our health and at what machines that
    join have to know, and at nothing else."""
    return user.name == ANONYMOUS or UNAUTHENTICATED in user.groups


def is_public(path: str) -> bool:
    return path.rstrip("/") in PUBLIC or path.startswith(tuple(f"{place}/" for place in PUBLIC))


def named(ask: Ask) -> Ask:
    """A list or watch that a field selector holds to one name is a question about that name."""
    if ask.verb in NAMED_BY_FIELD and not ask.name and "metadata.name" in ask.field_selector:
        try:
            name = parse_fields(ask.field_selector).exact("metadata.name")
        except Failure:
            return ask
        if name:
            return msgspec.structs.replace(ask, name=name)
    return ask


def forbidden(ask: Ask, why: str) -> Failure:
    """The original's text, with the reasons behind it."""
    who = f'User "{ask.user.name}" cannot {ask.verb}'
    if ask.path:
        text = f'forbidden: {who} path "{ask.path}"'
        return Failure(403, "Forbidden", f"{text}: {why}" if why else text)
    shown = f"{ask.resource}/{ask.subresource}" if ask.subresource else ask.resource
    where = f'in the namespace "{ask.namespace}"' if ask.namespace else "at the cluster scope"
    text = f'{who} resource "{shown}" in API group "{ask.group}" {where}'
    qualified = f"{ask.resource}.{ask.group}" if ask.group else ask.resource
    object = f'{qualified} "{ask.name}"' if ask.name else qualified
    message = f"{object} is forbidden: {text}"
    message = f"{message}: {why}" if why else message
    return Failure(403, "Forbidden", message, name=ask.name, group=ask.group, kind=ask.resource)


def _resources(*plurals: str) -> list[Resource]:
    found = [built_in(GROUP, "v1", plural) for plural in plurals]
    return [resource for resource in found if resource is not None]
