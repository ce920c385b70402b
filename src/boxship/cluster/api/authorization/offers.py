"""Which secrets every node may read because it serves the Ingresses that name them. Pure bookkeeping.

Only Ingresses of classes that are ours count: a certificate that another controller serves is none of the nodes'. It is
asked at each look at a secret, so it must never walk over the Ingresses.
"""

from boxship.cluster.objects import Object
from boxship.cluster.objects.ingress.classes import OWN_CERTIFICATE, class_of, our_classes, secrets_of

Key = tuple[str, str]  # namespace, name


class Offers:
    """Told of Ingresses and IngressClasses, in any order."""

    def __init__(self) -> None:
        self._named: dict[Key, tuple[str, frozenset[Key]]] = {}  # Ingress → its class and secrets
        self._counts: dict[Key, dict[str, int]] = {}  # secret → class → Ingresses of it that name the secret
        self._classes: dict[str, frozenset[str]] = {}  # IngressClass → what names it, where it is ours
        self._ours: frozenset[str] = frozenset()

    def has(self, secret: Key) -> bool:
        return secret == OWN_CERTIFICATE or not self._ours.isdisjoint(self._counts.get(secret, ()))

    def told_class(self, name: str, one: Object | None) -> None:
        self._classes.pop(name, None)
        if one is not None and (ours := our_classes((one,))):
            self._classes[name] = ours
        self._ours = frozenset().union(*self._classes.values())

    def told_ingress(self, key: Key, ingress: Object | None) -> None:
        chosen, secrets = self._named.pop(key, ("", frozenset()))
        for secret in secrets:
            counts = self._counts[secret]
            counts[chosen] -= 1
            if not counts[chosen]:
                del counts[chosen]
                if not counts:
                    del self._counts[secret]
        if ingress is None:
            return
        chosen, secrets = class_of(ingress), frozenset(secrets_of(ingress))
        if secrets:
            self._named[key] = (chosen, secrets)
        for secret in secrets:
            counts = self._counts.setdefault(secret, {})
            counts[chosen] = counts.get(chosen, 0) + 1
