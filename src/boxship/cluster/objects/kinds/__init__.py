"""The rules of every built-in kind, one or a few files per group; the schemas themselves are in `schema`.

A group's files are read when its first kind is asked for: all of them together take 125 ms of a processor.
Nothing here knows custom resources: `custom` makes their Rules.
"""

import functools
import importlib
from collections.abc import Mapping

from boxship.cluster.objects.rules import Rules

NONE = Rules()

# Each module has RULES: a mapping from Kind to Rules.
MODULES: Mapping[str, tuple[str, ...]] = {
    "": (
        "core_pods",
        "core_services",
        "core_configs",
        "core_nodes",
        "core_storage",
        "core_quotas",
        "core_endpoints",
    ),
    "apps": ("apps", "apps_stateful"),
    "batch": ("batch",),
    "autoscaling": ("autoscaling",),
    "policy": ("policy",),
    "networking.k8s.io": ("networking",),
    "storage.k8s.io": ("storage",),
    "rbac.authorization.k8s.io": ("rbac",),
    "coordination.k8s.io": ("coordination",),
    "discovery.k8s.io": ("discovery",),
    "events.k8s.io": ("events",),
    "node.k8s.io": ("node",),
    "scheduling.k8s.io": ("scheduling",),
    "admissionregistration.k8s.io": ("admissionregistration",),
    "apiextensions.k8s.io": ("apiextensions",),
    "apiregistration.k8s.io": ("apiregistration",),
    "certificates.k8s.io": ("certificates",),
    "flowcontrol.apiserver.k8s.io": ("flowcontrol",),
    "resource.k8s.io": ("resource",),
    "authentication.k8s.io": ("reviews",),
    "authorization.k8s.io": ("reviews",),
}


@functools.cache
def rules_in(group: str) -> Mapping[str, Rules]:
    """All rules of one group, by Kind."""
    found: dict[str, Rules] = {}
    for module in MODULES.get(group, ()):
        found.update(importlib.import_module(f"{__name__}.{module}").RULES)
    return found


def rules_of(group: str, kind: str) -> Rules:
    """The rules of a kind; those that accept everything for one that has none here."""
    return rules_in(group).get(kind, NONE)
