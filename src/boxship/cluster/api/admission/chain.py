"""The order of admission: one list, as the original has it ("Admission Controllers Reference"), and how it is walked.

Mutating webhooks and policies come after all that the cluster fills in itself, validating ones before the quota, which
charges only what everybody else has let through.
"""

from collections.abc import Callable, Mapping, Sequence

from boxship.cluster.access import Writer
from boxship.cluster.api.admission import Attributes, Lookup, Plugin
from boxship.cluster.api.admission.defaults import (
    DefaultIngressClass,
    DefaultStorageClass,
    DefaultTolerationSeconds,
    RuntimeClass,
    StorageObjectInUseProtection,
    TaintNodesByCondition,
)
from boxship.cluster.api.admission.external_addresses import DenyServiceExternalIPs, NodesOwnPorts
from boxship.cluster.api.admission.limits import LimitRanger
from boxship.cluster.api.admission.namespaces import NamespaceLifecycle
from boxship.cluster.api.admission.node_restriction import NodeRestriction
from boxship.cluster.api.admission.pod_security import PodSecurity
from boxship.cluster.api.admission.priorities import Priority
from boxship.cluster.api.admission.quotas import ResourceQuota
from boxship.cluster.api.admission.resizing import PersistentVolumeClaimResize
from boxship.cluster.api.admission.service_accounts import ServiceAccount
from boxship.cluster.objects.resource import Resource

# Plugins that stand in the chain only where somebody asks for them by name.
CHOSEN: Mapping[str, Callable[[], Plugin]] = {DenyServiceExternalIPs.name: DenyServiceExternalIPs}


def make(
    lookup: Lookup,
    writer: Writer,
    namespaces: Resource,
    mutating: Sequence[Plugin],
    validating: Sequence[Plugin],
    chosen: Sequence[str] = (),
) -> tuple[Plugin, ...]:
    """The chain. `mutating` and `validating` are the webhooks and policies; `namespaces` the resource of namespaces;
    `chosen` are names of CHOSEN."""
    return (
        NamespaceLifecycle(lookup, namespaces),
        LimitRanger(lookup),
        ServiceAccount(lookup),
        NodeRestriction(lookup),
        TaintNodesByCondition(),
        PodSecurity(lookup),
        Priority(lookup),
        DefaultTolerationSeconds(),
        StorageObjectInUseProtection(),
        DefaultStorageClass(lookup),
        PersistentVolumeClaimResize(lookup),
        RuntimeClass(lookup),
        DefaultIngressClass(lookup),
        NodesOwnPorts(lookup),
        *(make() for name, make in CHOSEN.items() if name in chosen),
        *mutating,
        *validating,
        ResourceQuota(lookup, writer),
    )


class AdmissionChain:
    """Walks the plugins in their order."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)

    async def admit(self, attributes: Attributes) -> None:
        """Let each plugin change the object, and all look once more where a webhook or policy changed what those before
        it had seen: a container that it added gets its token and its limits too. Raises the first refusal."""
        for plugin in self.plugins:
            await plugin.admit(attributes)
        if attributes.altered:
            attributes.again = True
            for plugin in self.plugins:
                await plugin.admit(attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Let each plugin look at the finished object. Raises the first refusal."""
        for plugin in self.plugins:
            await plugin.validate(attributes)
