"""PodSecurity: a namespace's labels say which pods it takes; what makes pods is warned about.

Source: kubernetes.io, "Pod Security Admission". The judgement itself is `objects.podsecurity`.
"""

from collections.abc import Callable

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause, forbidden, invalid
from boxship.cluster.objects.podsecurity import LEVELS, MODES, Policy, check, policy_of, summary

PODS_LOOKED_AT = 3000  # of a namespace whose labels change, for the warning
NAMED = 10  # pods that a warning names

# Where each kind that makes pods keeps the template.
TEMPLATES: dict[str, Callable[[Object], Object]] = {
    "v1/podtemplates": lambda made: made.get("template") or {},
    "v1/replicationcontrollers": lambda made: made.get("spec", {}).get("template") or {},
    "apps/v1/replicasets": lambda made: made.get("spec", {}).get("template") or {},
    "apps/v1/deployments": lambda made: made.get("spec", {}).get("template") or {},
    "apps/v1/statefulsets": lambda made: made.get("spec", {}).get("template") or {},
    "apps/v1/daemonsets": lambda made: made.get("spec", {}).get("template") or {},
    "batch/v1/jobs": lambda made: made.get("spec", {}).get("template") or {},
    "batch/v1/cronjobs": lambda made: made.get("spec", {}).get("jobTemplate", {}).get("spec", {}).get("template") or {},
}


class PodSecurity:
    """Implements Plugin."""

    name = "PodSecurity"

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def admit(self, attributes: Attributes) -> None:
        return None

    async def validate(self, attributes: Attributes) -> None:
        request = attributes.request
        path = request.resource.path
        if attributes.operation not in ("CREATE", "UPDATE") or attributes.object is None:
            return
        if path == "v1/namespaces" and not request.subresource:
            await self._namespace(attributes, attributes.object)
        elif path == "v1/pods" and request.subresource in ("", "ephemeralcontainers", "resize"):
            if attributes.operation == "CREATE" or _matters(attributes.object, attributes.old or {}):
                await self._pod(attributes, attributes.object)
        elif path in TEMPLATES and not request.subresource:
            await self._maker(attributes, TEMPLATES[path](attributes.object))

    async def _labels(self, name: str) -> Object:
        namespace = await self._lookup.get("v1/namespaces", "", name)
        labels: Object = (namespace or {}).get("metadata", {}).get("labels") or {}
        return labels

    async def _pod(self, attributes: Attributes, pod: Object) -> None:
        labels = await self._labels(attributes.request.namespace)
        policy, _ = policy_of(labels, "enforce")
        if found := check(policy, pod["metadata"], pod["spec"]):
            why = f'violates PodSecurity "{policy.shown}": {summary(found)}'
            raise forbidden(attributes.request.resource, attributes.name, why)
        attributes.request.notes["pod-security.kubernetes.io/enforce-policy"] = policy.shown
        self._tell(attributes, labels, pod["metadata"], pod["spec"])

    async def _maker(self, attributes: Attributes, template: Object) -> None:
        labels = await self._labels(attributes.request.namespace)
        self._tell(attributes, labels, template.get("metadata") or {}, template.get("spec") or {})

    def _tell(self, attributes: Attributes, labels: Object, metadata: Object, spec: Object) -> None:
        """The modes that refuse nothing."""
        warned, _ = policy_of(labels, "warn")
        if found := check(warned, metadata, spec):
            attributes.warn(f'would violate PodSecurity "{warned.shown}": {summary(found)}')
        audited, _ = policy_of(labels, "audit")
        if found := check(audited, metadata, spec):
            attributes.request.notes["pod-security.kubernetes.io/audit-violations"] = (
                f'would violate PodSecurity "{audited.shown}": {summary(found)}'
            )

    async def _namespace(self, attributes: Attributes, namespace: Object) -> None:
        labels = namespace["metadata"].get("labels") or {}
        before = ((attributes.old or {}).get("metadata") or {}).get("labels") or {}
        causes = []
        for mode in MODES:
            _, wrong = policy_of(labels, mode)
            _, wrong_before = policy_of(before, mode)
            if wrong and wrong != wrong_before:
                causes += [
                    Cause("FieldValueInvalid", f"metadata.labels[{field}]", text)
                    for field, _, text in (part.partition(": ") for part in wrong.split("; "))
                ]
        if causes:
            raise invalid("", "Namespace", attributes.name, causes)
        policy, _ = policy_of(labels, "enforce")
        old, _ = policy_of(before, "enforce")
        if attributes.operation == "UPDATE" and _is_stricter(policy, old):
            await self._warn_of_pods(attributes, policy)

    async def _warn_of_pods(self, attributes: Attributes, policy: Policy) -> None:
        """Say which pods that run now would be refused."""
        pods = await self._lookup.list("v1/pods", attributes.name)
        groups: dict[str, list[str]] = {}
        for pod in pods[:PODS_LOOKED_AT]:
            if found := check(policy, pod["metadata"], pod["spec"]):
                groups.setdefault(", ".join(violation.reason for violation in found), []).append(
                    pod["metadata"]["name"]
                )
        if not groups:
            return
        attributes.warn(
            f'existing pods in namespace "{attributes.name}" violate the new PodSecurity enforce level "{policy.shown}"'
        )
        for reasons, names in sorted(groups.items(), key=lambda entry: -len(entry[1]))[:NAMED]:
            first = sorted(names)[0]
            more = f" (and {len(names) - 1} other pod{'s' if len(names) > 2 else ''})" if len(names) > 1 else ""
            attributes.warn(f"{first}{more}: {reasons}")


def _is_stricter(policy: Policy, old: Policy) -> bool:
    return policy != old and LEVELS.index(policy.level) >= LEVELS.index(old.level) and policy.level != "privileged"


def _matters(pod: Object, old: Object) -> bool:
    """Whether an update changes something that a rule looks at."""
    marks = [
        {key: value for key, value in (each.get("metadata", {}).get("annotations") or {}).items() if "apparmor" in key}
        for each in (pod, old)
    ]
    return pod.get("spec") != old.get("spec") or marks[0] != marks[1]
