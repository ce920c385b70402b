"""Nobody gives away what he has not: looked at before a role or a binding is written.

Who has the verb `escalate` on a role, or `bind` on the role that a binding names, may (kubernetes.io, "Privilege
escalation prevention and bootstrapping"). Texts are the original's.
"""

from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.authorization.roles import GROUP
from boxship.cluster.api.authorization.rules import EVERYTHING, compacted, missing, quoted, rules_of
from boxship.cluster.api.request import Ask, User
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import built_in
from boxship.cluster.objects.failure import Failure, forbidden, not_found
from boxship.cluster.objects.resource import Resource

ROLES = ("roles", "clusterroles")
BINDINGS = ("rolebindings", "clusterrolebindings")


async def check_escalation(
    authorizer: Authorizer, user: User, resource: Resource, object: Object, old: Object | None
) -> None:
    """Before `object` is written in place of `old` (None: it is new). Raises Failure Forbidden."""
    if resource.group != GROUP or resource.plural not in (*ROLES, *BINDINGS):
        return
    if resource.plural in ROLES:
        await _check_role(authorizer, user, resource, object, old)
    else:
        await _check_binding(authorizer, user, resource, object)


async def _check_role(
    authorizer: Authorizer, user: User, resource: Resource, object: Object, old: Object | None
) -> None:
    namespace, name = object["metadata"].get("namespace", ""), object["metadata"].get("name", "")
    ask = Ask(user, "escalate", GROUP, "v1", resource.plural, namespace=namespace, name=name)
    if (await authorizer.authorize(ask)).allowed:
        return
    aggregation, before = object.get("aggregationRule"), (old or {}).get("aggregationRule")
    owned = authorizer.rules_for(user, namespace)
    if aggregation and aggregation != before and missing(owned, EVERYTHING):
        raise forbidden(resource, name, "must have cluster-admin privileges to use the aggregationRule")
    _check_rules(authorizer, user, resource, namespace, name, object)


async def _check_binding(authorizer: Authorizer, user: User, resource: Resource, object: Object) -> None:
    namespace, name = object["metadata"].get("namespace", ""), object["metadata"].get("name", "")
    reference = object.get("roleRef") or {}
    kind, role = str(reference.get("kind", "")), str(reference.get("name", ""))
    plural = {"Role": "roles", "ClusterRole": "clusterroles"}.get(kind, "")
    ask = Ask(user, "bind", str(reference.get("apiGroup", "")), "", plural, namespace=namespace, name=role)
    if (await authorizer.authorize(ask)).allowed:
        return
    rules = authorizer.roles.rules_of_role((kind, namespace if kind == "Role" else "", role))
    if rules is None:
        bound = built_in(GROUP, "v1", plural)
        raise not_found(bound, role) if bound else Failure(404, "NotFound", f'{kind} "{role}" not found')
    _check_rules(authorizer, user, resource, namespace, name, {"rules": [rule.object() for rule in rules]})


def _check_rules(
    authorizer: Authorizer, user: User, resource: Resource, namespace: str, name: str, role: Object
) -> None:
    lacking = missing(authorizer.rules_for(user, namespace), rules_of(role))
    if not lacking:
        return
    listed = "\n".join(sorted({rule.text() for rule in compacted(lacking)}))
    why = (
        f'user "{user.name}" (groups={quoted(user.groups)}) is attempting to grant RBAC permissions not currently held:'
        f"\n{listed}"
    )
    unresolved = authorizer.roles.missing_role(user, namespace)
    if unresolved:
        why = f"{why}; resolution errors: [{', '.join(unresolved)}]"
    raise forbidden(resource, name, why)
