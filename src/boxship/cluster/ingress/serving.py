"""What a node serves of all Ingresses, and what haproxy is to know of it. Pure, and never on the daemon's loop: there
may be thousands of them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from boxship.cluster.ingress.configuration import Wanted
from boxship.cluster.ingress.facts import Place
from boxship.cluster.ingress.model import Backend, Identity, Parsed, Plan, age_of, identity, plan_of
from boxship.cluster.ingress.rules import users_name
from boxship.cluster.ingress.secrets import accounts_of, certificate_of
from boxship.cluster.ingress.slots import Slots
from boxship.cluster.objects import Object
from boxship.cluster.objects.ingress.classes import OWN_CERTIFICATE, is_ours, our_classes, secrets_of
from boxship.cluster.reconcile.cache import Key

Data = Mapping[str, bytes]  # of a secret
OWN = "own.pem"


class Served(msgspec.Struct, frozen=True):
    """`ingresses`: the oldest first. `refused`: those of the refused ones that are still as they were. `by_service`:
    names of backends."""

    ingresses: tuple[Parsed, ...] = ()
    refused: frozenset[Identity] = frozenset()
    secrets: frozenset[Key] = frozenset()
    plan: Plan = Plan()
    backends: Mapping[str, Backend] = {}
    by_service: Mapping[Key, tuple[str, ...]] = {}


def served_of(ingresses: Iterable[Parsed], classes: Iterable[Object], refused: Collection[Identity]) -> Served:
    """`refused`: those that haproxy does not take."""
    ours = our_classes(classes)
    found = [one for one in ingresses if is_ours(one.object, ours)]
    still = frozenset(identity(one) for one in found) & frozenset(refused) if refused else frozenset()
    serving = sorted((one for one in found if not still or identity(one) not in still), key=age_of)
    plan = plan_of(serving)
    by_service: dict[Key, list[str]] = {}
    for one in plan.backends.values():
        by_service.setdefault((one.namespace, one.service), []).append(one.name)
    named = frozenset(key for one in serving for key in secrets_of(one.object))
    return Served(
        tuple(serving),
        still,
        named | {OWN_CERTIFICATE} if serving else frozenset(),
        plan,
        plan.backends,
        {key: tuple(names) for key, names in by_service.items()},
    )


def wanted_of(
    plan: Plan,
    slots: Mapping[str, Slots],
    external: Mapping[str, Place],
    free: tuple[Sequence[Place], Sequence[Place]],
    secret: Callable[[Key], Data | None],
) -> Wanted:
    """`free`: where to listen, plainly and with TLS."""
    certificates: dict[str, bytes] = {}
    hosts: dict[str, list[str]] = {}
    own = certificate_of(secret(OWN_CERTIFICATE))
    if own:
        certificates[OWN], hosts[OWN] = own, []
    for host, key in sorted(plan.certificates.items()):
        name = f"{key[0]}_{key[1]}.pem"
        found = certificate_of(secret(key))
        if found:
            certificates[name] = found
            hosts.setdefault(name, []).append(host)
    accounts: dict[str, Mapping[str, str]] = {}
    for one in plan.backends.values():
        if one.settings.auth_secret:
            users = accounts_of(secret((one.namespace, one.settings.auth_secret)), is_map=one.settings.auth_is_map)
            if users is not None:
                accounts[users_name(one)] = users
    plain, tls = free
    return Wanted(plan, slots, external, plain, tls if certificates else (), certificates, hosts, accounts)
