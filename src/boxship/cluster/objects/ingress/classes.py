"""Which Ingresses are ours: by their class, or where they have none, when ours is the default one.

Source: documentation "Ingress" (Ingress class, default IngressClass).
"""

import contextlib
from collections.abc import Iterable, Iterator

from boxship.cluster.objects import Object
from boxship.cluster.objects.ingress.reading import object_name

CONTROLLER = "boxship.io/ingress"
CLASS = "boxship"
DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
OLD_CLASS = "kubernetes.io/ingress.class"
OWN_CERTIFICATE = ("kube-system", "boxship-ingress")  # the secret with the certificate of our authority


def our_classes(classes: Iterable[Object]) -> frozenset[str]:
    """Names; "" is among them where an Ingress without a class is ours."""
    found = set()
    for one in classes:
        if (one.get("spec") or {}).get("controller") == CONTROLLER:
            found.add(one["metadata"]["name"])
            if (one["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true":
                found.add("")
    return frozenset(found)


def class_of(ingress: Object) -> str:
    """The name of the class that it chose; "" for the default one."""
    annotations = ingress["metadata"].get("annotations") or {}
    return str((ingress.get("spec") or {}).get("ingressClassName") or annotations.get(OLD_CLASS) or "")


def is_ours(ingress: Object, ours: frozenset[str]) -> bool:
    return class_of(ingress) in ours


def hosts_without_certificate(ingress: Object) -> list[str]:
    """Hosts for which people named no secret: their certificate comes from our authority."""
    spec = ingress.get("spec") or {}
    covered = {host for entry in spec.get("tls") or () if entry.get("secretName") for host in entry.get("hosts") or ()}
    named = [rule.get("host") for rule in spec.get("rules") or ()]
    named += [host for entry in spec.get("tls") or () for host in entry.get("hosts") or ()]
    return [host for host in dict.fromkeys(named) if host and host not in covered]


def secrets_of(ingress: Object) -> Iterator[tuple[str, str]]:
    """The secrets (namespace, name) that an Ingress names; it may name those of its own namespace alone."""
    namespace = ingress["metadata"].get("namespace", "")
    for entry in (ingress.get("spec") or {}).get("tls") or ():
        if entry.get("secretName"):
            yield namespace, entry["secretName"]
    named = (ingress["metadata"].get("annotations") or {}).get("nginx.ingress.kubernetes.io/auth-secret") or ""
    place, _, name = named.strip().rpartition("/")
    with contextlib.suppress(ValueError):
        if place in ("", namespace):
            yield namespace, object_name(name)
