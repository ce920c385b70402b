"""What is accepted in a pod or a template but hardly meant: said to the client.

Source: k8s.io/kubernetes, api/pod (warnings); documentation "Well-Known Labels, Annotations and Taints", "Volumes".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names, quantity
from boxship.cluster.objects.kinds.checking import quote
from boxship.cluster.objects.kinds.core_pod_annotations import APPARMOR, SECCOMP_CONTAINER, SECCOMP_POD
from boxship.cluster.objects.kinds.core_resources import parsed
from boxship.cluster.objects.kinds.core_security import every_container

Item = Mapping[str, Any]
OLD_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
OLD_VOLUMES = {
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "gitRepo": ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
SECCOMP_TEXT = 'non-functional in v1.27+; use the "seccompProfile" field instead'
APPARMOR_TEXT = 'deprecated since v1.30; use the "appArmorProfile" field instead'
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pod_warnings(pod: Object) -> Sequence[str]:
    found = []
    metadata = pod.get("metadata") or {}
    name = metadata.get("name")
    if name and (why := names.label(name)):
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{why}]"
        )
    found += _warnings(pod.get("spec") or {}, metadata, "", template=False)
    return found


def template_warnings(template: Object | None, path: str) -> Sequence[str]:
    """Of a controller's template at `path`."""
    if not template:
        return ()
    return list(_warnings(template.get("spec") or {}, template.get("metadata") or {}, f"{path}.", template=True))


def _warnings(spec: Object, metadata: Item, path: str, *, template: bool) -> Iterator[str]:
    at = f"{path}spec"
    yield from _placement(spec, at)
    annotations = metadata.get("annotations") or {}
    for key, text in OLD_ANNOTATIONS.items():
        if key in annotations:
            yield f"{path}metadata.annotations[{key}]: {text}"
    yield from _volumes(spec, at)
    yield from _doubled(spec, at)
    for name in ("memory", "ephemeral-storage"):
        yield from _fraction((spec.get("overhead") or {}).get(name), f"{at}.overhead[{name}]")
    context = spec.get("securityContext") or {}
    if annotations and not context.get("seccompProfile") and SECCOMP_POD in annotations:
        yield f"{path}metadata.annotations[{SECCOMP_POD}]: {SECCOMP_TEXT}"
    for container, place in every_container(spec, at):
        if annotations:
            name, own = container.get("name") or "", container.get("securityContext") or {}
            if SECCOMP_CONTAINER + name in annotations and not own.get("seccompProfile"):
                yield f"{path}metadata.annotations[{SECCOMP_CONTAINER}{name}]: {SECCOMP_TEXT}"
            profile = own.get("appArmorProfile") or context.get("appArmorProfile")
            if template and APPARMOR + name in annotations and not profile:
                yield f"{path}metadata.annotations[{APPARMOR}{name}]: {APPARMOR_TEXT}"
        for key, amounts in (container.get("resources") or {}).items():
            if key in ("limits", "requests"):
                for name in ("memory", "ephemeral-storage"):
                    yield from _fraction((amounts or {}).get(name), f"{place}.resources.{key}[{name}]")
        yield from _environment(container, place)
    yield from _ports(spec, at)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        yield f"{at}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"


def _placement(spec: Object, path: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if key in OLD_LABELS:
            yield f"{path}.nodeSelector[{key}]: {OLD_LABELS[key]}"
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = [
        (term, f"{path}.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[{index}]")
        for index, term in enumerate((node.get(REQUIRED) or {}).get("nodeSelectorTerms") or ())
    ]
    terms += [
        (term.get("preference") or {}, f"{path}.affinity.nodeAffinity.{PREFERRED}[{index}].preference")
        for index, term in enumerate(node.get(PREFERRED) or ())
    ]
    for term, at in terms:
        for index, need in enumerate(term.get("matchExpressions") or ()):
            key = need.get("key")
            if key in OLD_LABELS:
                yield f"{at}.matchExpressions[{index}].key: {key} is {OLD_LABELS[key]}"
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        key = constraint.get("topologyKey")
        at = f"{path}.topologySpreadConstraints[{index}]"
        if key in OLD_LABELS:
            yield f"{at}.topologyKey: {key} is {OLD_LABELS[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{at}.labelSelector: a null labelSelector results in matching no pod"


def _volumes(spec: Object, path: str) -> Iterator[str]:
    tokens: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        for key in volume:
            if key in OLD_VOLUMES:
                shown, text = OLD_VOLUMES[key]
                yield f"{path}.volumes[{index}].{shown}: {text}"
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}
        at = f"{path}.volumes[{index}].ephemeral.volumeClaimTemplate.spec"
        yield from claim_warnings(template.get("spec") or {}, at)
        for source in (volume.get("projected") or {}).get("sources") or ():
            tokens.add((source.get("serviceAccountToken") or {}).get("path") or "")
    tokens.discard("")
    if not tokens:
        return
    for index, volume in enumerate(spec.get("volumes") or ()):
        for source in (volume.get("projected") or {}).get("sources") or ():
            for key, shown in (("configMap", "configMap"), ("secret", "secrets"), ("downwardAPI", "downwardAPI")):
                for place, item in enumerate((source.get(key) or {}).get("items") or ()):
                    if item.get("path") in tokens:
                        at = f"{path}.volumes[{index}].projected.sources.{shown}[{place}]"
                        yield f"{at}: has duplicated path with ServiceAccountToken {quote(item['path'])}"


def claim_warnings(spec: Item, path: str) -> Iterator[str]:
    """Of a claim for storage."""
    requests = (spec.get("resources") or {}).get("requests") or {}
    yield from _fraction(requests.get("storage"), f"{path}.resources.requests[storage]")


def _fraction(text: str | None, path: str) -> Iterator[str]:
    if text is not None and parsed(text).nanos % quantity.NANO:
        yield f"{path}: fractional byte value {quote(parsed(text).text)} is invalid, must be an integer"


def _doubled(spec: Object, path: str) -> Iterator[str]:
    for listed, key in (("hostAliases", "ip"), ("imagePullSecrets", "name")):
        seen: set[str] = set()
        for index, item in enumerate(spec.get(listed) or ()):
            value = item.get(key) or ""
            if value in seen:
                yield f"{path}.{listed}[{index}].{key}: duplicate {key} {quote(value)}"
            seen.add(value)
    for index, item in enumerate(spec.get("imagePullSecrets") or ()):
        if not item.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'


def _environment(container: Item, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        before, value = f"$({name})", variable.get("value") or ""
        hides = variable.get("valueFrom") is not None or value == before or before not in value
        if name in seen and hides:
            text = "which may be dropped when using apply"
            yield f"{path}.env[{index}]: hides previous definition of {quote(name)}, {text}"
        seen.add(name)


def _ports(spec: Object, path: str) -> Iterator[str]:
    taken: dict[tuple[Any, Any], list[tuple[Item, str]]] = {}
    for container, at in every_container(spec, path):
        for index, port in enumerate(container.get("ports") or ()):
            place = f"{at}.ports[{index}]"
            key = (port.get("containerPort"), port.get("protocol"))
            for other, where in taken.get(key, ()):
                mine, theirs = port.get("hostPort") or 0, other.get("hostPort") or 0
                ours, given = port.get("hostIP") or "", other.get("hostIP") or ""
                if (mine, ours) == (theirs, given):
                    yield f"{place}: duplicate port definition with {where}"
                elif not mine or not theirs or (mine == theirs and (not ours or not given)):
                    yield f"{place}: overlapping port definition with {where}"
            taken.setdefault(key, []).append((port, place))
