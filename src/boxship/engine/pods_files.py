"""The hosts file of a pod, in the form that programs in clusters look for. Pure.

Source: documentation "Adding entries to Pod /etc/hosts with HostAliases".
"""

from itertools import groupby

from boxship.spec.pod import PodSpec


def pod_hosts(spec: PodSpec, text: str) -> str:
    """`text`: what the network says, with the pod's own name; on the host's network, what stands in the host's file."""
    kind = " (host network)" if spec.host_network else ""
    found = f"# Kubernetes-managed hosts file{kind}.\n{text}"
    if not spec.extra_hosts:
        return found
    added = [one.partition(":") for one in spec.extra_hosts]
    lines = [
        "\t".join([address, *(name for name, _, _ in entries)]) + "\n"
        for address, entries in groupby(added, key=lambda one: one[2])
    ]
    return f"{found}\n# Entries added by HostAliases.\n{''.join(lines)}"
