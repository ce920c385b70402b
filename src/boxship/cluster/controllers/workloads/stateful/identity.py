"""Who a pod of a stateful set is: its ordinal, its name, its claims. Pure."""

from collections.abc import Sequence

from boxship.cluster.controllers.workloads.making import pod_of, with_labels
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.revisions import HASH
from boxship.cluster.objects import Object

NAME_LABEL, INDEX_LABEL = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"


def ordinal_of(stateful: Object, pod: Pod) -> int:
    """-1: not one of this set's, by its name."""
    prefix, _, text = pod.name.rpartition("-")
    if prefix != stateful["metadata"]["name"] or not (text.isascii() and text.isdigit()) or str(int(text)) != text:
        return -1
    return int(text)


def ordinals(stateful: Object) -> range:
    spec = stateful["spec"]
    start = int((spec.get("ordinals") or {}).get("start") or 0)
    count = spec.get("replicas")
    return range(start, start + (1 if count is None else int(count)))


def pod_name(stateful: Object, ordinal: int) -> str:
    return f"{stateful['metadata']['name']}-{ordinal}"


def claim_name(stateful: Object, template: Object, ordinal: int) -> str:
    return f"{template['metadata']['name']}-{pod_name(stateful, ordinal)}"


def claim_templates(stateful: Object) -> Sequence[Object]:
    return list(stateful["spec"].get("volumeClaimTemplates") or ())


def make_pod(stateful: Object, template: Object, revision: str, ordinal: int) -> Object:
    pod = pod_of(template, stateful)
    name = pod_name(stateful, ordinal)
    del pod["metadata"]["generateName"]
    pod["metadata"]["name"] = name
    with_labels(pod, {NAME_LABEL: name, INDEX_LABEL: str(ordinal), HASH: revision})
    spec = pod["spec"]
    spec["hostname"] = name
    if stateful["spec"].get("serviceName"):
        spec["subdomain"] = stateful["spec"]["serviceName"]
    claims = {one["metadata"]["name"]: claim_name(stateful, one, ordinal) for one in claim_templates(stateful)}
    if claims:
        own = [volume for volume in spec.get("volumes") or () if volume["name"] not in claims]
        made = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims.items()]
        spec["volumes"] = [*made, *own]
    return pod


def missing_labels(stateful: Object, pod: Pod, ordinal: int) -> dict[str, str]:
    """What its labels should say of it, where they do not."""
    wanted = {NAME_LABEL: pod_name(stateful, ordinal), INDEX_LABEL: str(ordinal)}
    return {key: value for key, value in wanted.items() if pod.labels.get(key) != value}
