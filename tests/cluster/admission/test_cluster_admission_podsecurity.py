"""The Pod Security Standards: each rule by a pod that breaks it, and pods that are allowed."""

import copy
from typing import Any

import pytest

from boxship.cluster.objects.podsecurity import BASELINE, RESTRICTED, Policy, check, policy_of, summary

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {"name": "a", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
    "volumes": [{"name": "v", "configMap": {"name": "c"}}, {"name": "e", "emptyDir": {}}],
}


def broken(**changes: Any) -> dict[str, Any]:
    """The good pod with fields of the pod, and with `container` merged into its container, `pod` into its context."""
    spec = copy.deepcopy(GOOD)
    context = changes.pop("context", {})
    container = changes.pop("container", {})
    spec["securityContext"].update(changes.pop("pod", {}))
    spec["containers"][0].update(container)
    spec["containers"][0]["securityContext"].update(context)
    spec.update(changes)
    return spec


BASELINE_CASES = [
    (broken(hostNetwork=True, hostIPC=True), "host namespaces (hostNetwork=true, hostIPC=true)"),
    (
        broken(context={"privileged": True}),
        'privileged (container "a" must not set securityContext.privileged=true)',
    ),
    (
        broken(context={"capabilities": {"add": ["SYS_ADMIN", "CHOWN", "NET_ADMIN"]}}),
        'non-default capabilities (container "a" must not include "NET_ADMIN", "SYS_ADMIN" in'
        " securityContext.capabilities.add)",
    ),
    (broken(volumes=[{"name": "h", "hostPath": {"path": "/"}}]), 'hostPath volumes (volume "h")'),
    (broken(container={"ports": [{"hostPort": 80}, {"hostPort": 8}]}), 'hostPort (container "a" uses hostPorts 8, 80)'),
    (
        broken(pod={"seLinuxOptions": {"type": "spc_t", "user": "u"}}),
        'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)',
    ),
    (
        broken(context={"procMount": "Unmasked"}),
        'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
    ),
    (
        broken(pod={"seccompProfile": {"type": "Unconfined"}}),
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    (broken(pod={"sysctls": [{"name": "kernel.msgmax"}]}), "forbidden sysctls (kernel.msgmax)"),
    (
        broken(pod={"windowsOptions": {"hostProcess": True}}),
        "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
    ),
    (
        broken(container={"livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}),
        'probe or lifecycle host (container "a" uses probe or lifecycle host "10.0.0.1")',
    ),
    (
        broken(pod={"appArmorProfile": {"type": "Unconfined"}}),
        'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
    ),
]
RESTRICTED_CASES = [
    (
        broken(context={"allowPrivilegeEscalation": None}),
        'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)',
    ),
    (
        broken(context={"capabilities": {"add": ["CHOWN"]}}),
        'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"];'
        ' container "a" must not include "CHOWN" in securityContext.capabilities.add)',
    ),
    (
        broken(volumes=[{"name": "n", "nfs": {}}, {"name": "h", "hostPath": {}}]),
        'restricted volume types (volumes "n", "h" use restricted volume types "hostPath", "nfs")',
    ),
    (
        broken(pod={"runAsNonRoot": None}),
        'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)',
    ),
    (broken(context={"runAsUser": 0}), 'runAsUser=0 (container "a" must not set runAsUser=0)'),
    (
        broken(pod={"seccompProfile": None}),
        'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or'
        ' "Localhost")',
    ),
    (
        broken(pod={"seccompProfile": {"type": "Unconfined"}}),
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
]


@pytest.mark.parametrize(("spec", "text"), BASELINE_CASES)
def test_baseline(spec: dict[str, Any], text: str) -> None:
    assert summary(check(Policy("baseline"), {}, spec)) == text
    assert check(Policy("privileged"), {}, spec) == []


@pytest.mark.parametrize(("spec", "text"), RESTRICTED_CASES)
def test_restricted(spec: dict[str, Any], text: str) -> None:
    assert summary(check(Policy("restricted"), {}, spec)) == text


def test_every_rule_is_broken_by_a_case() -> None:
    seen = {
        found.reason for spec, _ in BASELINE_CASES + RESTRICTED_CASES for found in check(Policy("restricted"), {}, spec)
    }
    seen |= {found.reason for spec, _ in BASELINE_CASES for found in check(Policy("baseline"), {}, spec)}
    assert len(seen) == len(BASELINE) + len(RESTRICTED)  # probes are one more, seccomp has one name in both


def test_good_pods_and_exceptions() -> None:
    for level in ("baseline", "restricted"):
        assert check(Policy(level), {}, GOOD) == []
    root_in_user_namespace = broken(hostUsers=False, pod={"runAsNonRoot": None}, context={"runAsUser": 0})
    assert check(Policy("restricted"), {}, root_in_user_namespace) == []
    old = broken(container={"livenessProbe": {"httpGet": {"host": "10.0.0.1"}}})
    assert check(Policy("baseline", "v1.33"), {}, old) == []
    assert (
        check(
            Policy("restricted"), {}, broken(context={"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}})
        )
        == []
    )
    assert (
        check(
            Policy("restricted"),
            {},
            {"containers": [{"name": "w"}], "os": {"name": "windows"}, "securityContext": {"runAsNonRoot": True}},
        )
        == []
    )


def test_labels_of_a_namespace() -> None:
    prefix = "pod-security.kubernetes.io/"
    assert policy_of({}, "enforce") == (Policy(), "")
    assert policy_of({f"{prefix}warn": "baseline", f"{prefix}warn-version": "v1.30"}, "warn") == (
        Policy("baseline", "v1.30"),
        "",
    )
    policy, wrong = policy_of({f"{prefix}enforce": "strict", f"{prefix}enforce-version": "1.30"}, "enforce")
    assert policy == Policy("restricted", "latest") and '"strict"' in wrong and '"1.30"' in wrong
