"""Pod security by a namespace's labels: what is refused, what is warned of, and what is written down."""

import json

import pytest
from conformance_kit import Space
from containers_kit import Spec, begin, outputs, pod

pytestmark = pytest.mark.slow

LEVELS = "pod-security.kubernetes.io"
GOOD = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
}
LOCKED = {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
HOST = {
    "hostNetwork": True,
    "containers": [{"name": "a", "image": "busybox", "ports": [{"hostPort": 81, "containerPort": 81}]}],
}
BROKEN = (
    'allowPrivilegeEscalation != false (container "main" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "main" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "main" must set securityContext.seccompProfile.type to '
    '"RuntimeDefault" or "Localhost")'
)


def label(space: Space, **modes: str) -> str:
    """What kubectl complains of meanwhile."""
    words = [f"{LEVELS}/{mode.replace('_', '-')}={level}" for mode, level in modes.items()]
    return space.cluster.kubectl("label", "namespace", space.name, "--overwrite", *words).stderr


def created(space: Space, object: Spec) -> str:
    """Likewise."""
    done = space.cluster.kubectl("-n", space.name, "create", "-f", "-", data=json.dumps(object), check=False)
    return done.stderr.strip()


def test_what_a_namespace_refuses(space: Space) -> None:
    assert label(space, enforce="baseline") == ""
    begin(space, pod("plain", "exec sleep 600"))
    refused = created(space, {**pod("host", "true"), "spec": HOST})
    assert (
        'pods "host" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
        in refused
    )
    assert 'hostPort (container "a" uses hostPort 81)' in refused
    warned = label(space, enforce="restricted")
    assert f'existing pods in namespace "{space.name}" violate the new PodSecurity enforce level' in warned
    assert (
        "Warning: plain: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true" in warned
    )
    assert f'violates PodSecurity "restricted:latest": {BROKEN}' in created(space, pod("bad", "true"))
    assert outputs(space, pod("good", "id -u", LOCKED, GOOD)) == {"good": "1000\n"}
    space.kubectl("label", "pod", "plain", "more=yes")  # what is there already may go on, and be labelled
    refusal = space.refusal("debug", "good", "--profile=general", "--image=busybox", "--", "true")
    assert 'violates PodSecurity "restricted:latest"' in refusal


def test_what_a_namespace_warns_of(space: Space) -> None:
    """Of pods, and of whatever makes them, which is not refused; the pods themselves are."""
    label(space, warn="restricted", enforce="baseline", enforce_version="v1.30")
    text = f'Warning: would violate PodSecurity "restricted:latest": {BROKEN}'
    assert created(space, pod("plain", "exec sleep 600")) == text
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod("", "exec sleep 600")["spec"]}
    template["spec"].pop("restartPolicy")
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    web = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    assert created(space, web) == text
    space.until_pods(1, "app=web")
    label(space, enforce="restricted", enforce_version="latest")
    space.kubectl("delete", "pods", "--selector=app=web", "--wait=false")

    def told() -> bool:
        found = space.events("--field-selector=reason=FailedCreate")
        return any('violates PodSecurity "restricted:latest"' in one["message"] for one in found)

    space.until(told, "its controller tells why there is no other pod")


def test_levels_that_are_none(space: Space) -> None:
    for words in (f"{LEVELS}/enforce=strict", f"{LEVELS}/warn-version=1.30"):
        refused = space.cluster.kubectl("label", "namespace", space.name, words, check=False)
        assert refused.returncode and f"metadata.labels[{words.split('=')[0]}]: Invalid value" in refused.stderr
