"""What a container's processes are and may do, and settings of the kernel for a pod alone."""

import json
from pathlib import Path

import pytest
from conformance_kit import Space
from containers_kit import Spec, begin, outputs, pod, until_waiting, waiting
from nodes_kit import Cluster, condition

pytestmark = pytest.mark.slow

RAISES = """
FROM busybox
RUN mkdir /suid && cp /bin/busybox /suid/su && chmod 4755 /suid/su && echo root::0:0:root:/:/bin/sh > /etc/passwd
"""


# Covers: Security Context, runAsUser=65534; Security Context, test RunAsGroup at container level;
# Security Context, test RunAsGroup at pod level; Security Context, privileged=false.;
# Security Context, readOnlyRootFilesystem=false.
def test_users_groups_and_what_they_may(space: Space) -> None:
    ids = "echo $(id -u) $(id -g)"
    own, all = {"runAsUser": 1001, "runAsGroup": 2002}, {"runAsUser": 1111, "runAsGroup": 2222}
    said = outputs(
        space,
        pod("nobody", "id -u", {"securityContext": {"runAsUser": 65534}}),
        pod("root", "id -u", {"securityContext": {"runAsUser": 0}}),
        pod("container", ids, {"securityContext": own}, {"securityContext": all}),
        pod("pod", ids, spec={"securityContext": own}),
        pod("plain", "ip link add dummy0 type dummy || true", {"securityContext": {"privileged": False}}),
        pod("privileged", "ip link add dummy0 type dummy || true", {"securityContext": {"privileged": True}}),
        pod("writes", "touch checkfile && echo done", {"securityContext": {"readOnlyRootFilesystem": False}}),
        pod("reads", "touch checkfile || true", {"securityContext": {"readOnlyRootFilesystem": True}}),
    )
    assert (said["nobody"], said["root"]) == ("65534\n", "0\n")
    assert (said["container"], said["pod"]) == ("1001 2002\n", "1001 2002\n")
    assert "Operation not permitted" in said["plain"] and "Operation not permitted" not in said["privileged"]
    assert said["writes"] == "done\n" and "Read-only file system" in said["reads"]


# Covers: Security Context, allowPrivilegeEscalation=false.
def test_nobody_rises_who_may_not(space: Space) -> None:
    """Without a word of it, or with leave, a program that root lent its rights to has them."""
    space.cluster.nodes[0].build("raises", RAISES)

    def asks(name: str, **more: object) -> Spec:
        context = {"runAsUser": 1000, **more}
        return pod(name, '/suid/su root -c "id -u" || id -u', {"image": "raises", "securityContext": context})

    said = outputs(space, asks("silent"), asks("may", allowPrivilegeEscalation=True))
    assert said == {"silent": "0\n", "may": "0\n"}
    said = outputs(space, asks("may-not", allowPrivilegeEscalation=False))
    lines = said["may-not"].splitlines()
    assert "1000" in lines and "0" not in lines


# Covers: Sysctl, test sysctls; Sysctls, reject invalid sysctls.
def test_settings_of_the_kernel(space: Space) -> None:
    settings = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    slashes = {"sysctls": [{"name": "net/ipv4/ip_local_port_range", "value": "1024 2048"}]}
    show = "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_local_port_range"
    said = outputs(space, pod("set", show, spec={"securityContext": settings}))
    assert said["set"].split()[0] == "1"
    said = outputs(space, pod("slashes", show, spec={"securityContext": slashes}))
    assert said["slashes"].split()[1:] == ["1024", "2048"]
    wrong = [
        {"name": "foo-", "value": "bar"},
        {"name": "kernel.shmmax", "value": "100000000"},
        {"name": "safe-and-unsafe", "value": "100000000"},
        {"name": "bar..", "value": "42"},
    ]
    refused = space.request("POST", "pods", pod("wrong", "true", spec={"securityContext": {"sysctls": wrong}}))
    assert refused.status == 422
    assert {
        cause["field"]: cause["message"].split(":")[1].strip() for cause in refused.object["details"]["causes"]
    } == {
        "spec.securityContext.sysctls[0].name": '"foo-"',
        "spec.securityContext.sysctls[3].name": '"bar.."',
    }


# What the list's neighbours ask for: an unsafe setting is refused by the node, and the pod is not tried again.
def test_settings_that_are_not_of_the_pod_alone_fail(space: Space) -> None:
    settings = {"sysctls": [{"name": "kernel.msgmax", "value": "10000000000"}]}
    begin(space, pod("unsafe", "true", spec={"securityContext": settings}))
    failed = space.until_phase("unsafe", "Failed")
    assert failed["status"]["reason"] == "SysctlForbidden"
    told = "--field-selector=reason=SysctlForbidden"
    space.until(lambda: space.events(told), "an event tells of it")


# What the list's neighbours ask for: who must not be root is not started as root.
def test_root_is_refused_where_it_may_not_be(space: Space) -> None:
    must = {"securityContext": {"runAsNonRoot": True}}
    root = {"securityContext": {"runAsNonRoot": True, "runAsUser": 0}}
    space.cluster.nodes[0].build("somebody", "FROM busybox\nUSER 1234\n")
    space.cluster.nodes[0].build("named", "FROM busybox\nRUN echo me:x:77:77::/:/bin/sh > /etc/passwd\nUSER me\n")
    begin(
        space,
        pod("silent", "id -u", must),
        pod("root", "id -u", root),
        pod("named", "id -u", {**must, "image": "named"}),
    )
    said = outputs(
        space,
        pod("other", "id -u", {"securityContext": {"runAsNonRoot": True, "runAsUser": 1234}}),
        pod("image", "id -u", {**must, "image": "somebody"}),
    )
    assert said == {"other": "1234\n", "image": "1234\n"}
    wrong = {
        "silent": "container has runAsNonRoot and image will run as root",
        "root": "container's runAsUser breaks non-root policy",
        "named": "container has runAsNonRoot and image has non-numeric user (me), cannot verify user is non-root",
    }
    for name, why in wrong.items():
        assert until_waiting(space, name, "CreateContainerConfigError")["message"].startswith(why)
        assert condition(space.pod(name), "Ready") == "False"


# What the list's neighbours ask for: supplementary groups by both policies, and how calls of the kernel are filtered.
def test_groups_and_filters(space: Space, suite: Cluster) -> None:
    lines = "RUN echo me:x:1000:1000::/:/bin/sh > /etc/passwd && echo of-image:x:50000:me > /etc/group\n"
    suite.nodes[0].build("grouped", f"FROM busybox\n{lines}")

    def grouped(name: str, **more: object) -> Spec:
        context = {"runAsUser": 1000, "runAsGroup": 1000, "supplementalGroups": [60000], **more}
        return pod(
            name,
            "id -G; grep -E '^(Seccomp|NoNewPrivs):' /proc/1/status",
            {"image": "grouped"},
            {"securityContext": context},
        )

    said = outputs(
        space,
        grouped("plain"),
        grouped("merge", supplementalGroupsPolicy="Merge", seccompProfile={"type": "RuntimeDefault"}),
        grouped("strict", supplementalGroupsPolicy="Strict", fsGroup=61000),
        grouped("loose", seccompProfile={"type": "Unconfined"}),
    )
    groups = {name: set(text.splitlines()[0].split()) for name, text in said.items()}
    assert groups["plain"] == groups["merge"] == {"1000", "50000", "60000"}
    assert groups["strict"] == {"1000", "60000", "61000"}
    filters = {name: text.split("Seccomp:")[1].split()[0] for name, text in said.items()}
    assert filters == {"plain": "0", "merge": "2", "strict": "0", "loose": "0"}


# What the list's neighbours ask for: filters of one's own, what is not enforced is refused, and a probe of the host.
def test_profiles_of_ones_own(space: Space) -> None:
    node = space.cluster.nodes[0]
    folder = Path(node.data) / "seccomp"
    folder.mkdir(exist_ok=True)
    refused = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    (folder / "no-folders.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]}))

    def filtered(name: str, profile: str) -> Spec:
        context = {"seccompProfile": {"type": "Localhost", "localhostProfile": profile}}
        return pod(name, "mkdir /x || echo refused", spec={"securityContext": context, "nodeName": node.name})

    begin(space, filtered("nothing", "nothing.json"))
    said = outputs(space, filtered("own", "no-folders.json"))
    assert "Operation not permitted" in said["own"] and "refused" in said["own"].splitlines()
    space.until(
        lambda: "nothing.json: no such file" in waiting(space, "nothing").get("message", ""), "it names the file"
    )
    armour = {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}
    begin(space, pod("armour", "true", spec=armour))
    failed = space.until_phase("armour", "Failed")
    assert failed["status"]["reason"] == "AppArmor"
    assert failed["status"]["message"].startswith("Cannot enforce AppArmor: unsupported: ")
