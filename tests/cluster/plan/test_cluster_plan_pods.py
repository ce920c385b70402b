"""What a pod's fields become for the machine: sandbox, names, rights, limits, mounts."""

from pathlib import Path
from typing import Any

import pytest
from plan_kit import UID, container, facts, pod

from boxship.cluster.node.plan import amounts, mounting, naming, security
from boxship.cluster.node.plan.sandboxing import sandbox_of
from boxship.cluster.node.planning import Mounted, NotPossible
from boxship.cluster.node.runtime import SandboxSpec
from boxship.engine.mounting import check_target, requested_mounts
from boxship.spec.container import ContainerSpec, DeviceMapping, PortRequest

FACTS = facts()
HOST = naming.parse_resolv("nameserver 9.9.9.9\nsearch corp.example. lan\noptions timeout:1\n")


def sandbox(**spec: Any) -> SandboxSpec:
    return sandbox_of(pod(**spec), FACTS, HOST)


def test_an_ordinary_pod() -> None:
    found = sandbox()
    assert (found.uid, found.namespace, found.name, found.hostname, found.network) == (
        UID,
        "shop",
        "web",
        "web",
        "pods",
    )
    assert found.dns == ("10.96.0.10",)
    assert found.dns_search == ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example", "lan")
    assert found.dns_options == ("ndots:5",)
    assert found.cgroup == f"boxship-pods-test/besteffort/pod{UID}"
    assert found.labels["io.kubernetes.pod.uid"] == UID
    assert found.runtime == ""


@pytest.mark.parametrize(
    ("spec", "servers", "searches", "options"),
    [
        ({"dnsPolicy": "Default"}, ("9.9.9.9",), ("corp.example", "lan"), ("timeout:1",)),
        ({"hostNetwork": True}, ("9.9.9.9",), ("corp.example", "lan"), ("timeout:1",)),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["x"]}},
            ("1.1.1.1",),
            ("x",),
            (),
        ),
        (
            {
                "dnsPolicy": "Default",
                "dnsConfig": {
                    "nameservers": ["9.9.9.9", "1.1.1.1", "2.2.2.2", "3.3.3.3"],
                    "options": [{"name": "timeout", "value": "3"}, {"name": "edns0"}],
                },
            },
            ("9.9.9.9", "1.1.1.1", "2.2.2.2"),
            ("corp.example", "lan"),
            ("timeout:3", "edns0"),
        ),
    ],
)
def test_resolver_settings(spec: dict[str, Any], servers: Any, searches: Any, options: Any) -> None:
    found = sandbox(**spec)
    assert (found.dns, found.dns_search, found.dns_options) == (servers, searches, options)


def test_the_cluster_is_asked_first_on_the_host_network_where_that_is_said() -> None:
    assert sandbox(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet").dns == ("10.96.0.10",)


@pytest.mark.parametrize(
    ("spec", "hostname", "domain"),
    [
        ({"hostname": "db"}, "db", ""),
        ({"hostname": "db", "subdomain": "sub"}, "db", "sub.shop.svc.cluster.local"),
        (
            {"hostname": "db", "subdomain": "sub", "setHostnameAsFQDN": True},
            "db.sub.shop.svc.cluster.local",
            "sub.shop.svc.cluster.local",
        ),
        ({"hostNetwork": True}, "one", ""),
        ({"hostnameOverride": "as.it.is"}, "as.it.is", ""),
    ],
)
def test_names(spec: dict[str, Any], hostname: str, domain: str) -> None:
    found = sandbox(**spec)
    assert (found.hostname, found.domainname) == (hostname, domain)


def test_a_long_name_is_cut_and_a_long_full_name_refused() -> None:
    long = pod(metadata={"name": "a" * 62 + "-bc"})
    assert naming.names_of(long, FACTS)[0] == "a" * 62
    long["spec"] |= {"subdomain": "sub", "setHostnameAsFQDN": True}
    with pytest.raises(NotPossible, match="is too long"):
        naming.names_of(long, FACTS)


def test_ports_aliases_and_shared_namespaces() -> None:
    ports = [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]
    more = [{"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "127.0.0.1"}]
    found = sandbox_of(
        pod(
            container(ports=ports),
            initContainers=[container("first", ports=more)],
            hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}],
            hostPID=True,
            shareProcessNamespace=True,
        ),
        FACTS,
        HOST,
    )
    assert found.ports == (PortRequest(53, "udp", "127.0.0.1", "53"), PortRequest(80, "tcp", "", "8080"))
    assert found.extra_hosts == ("a:1.2.3.4", "b:1.2.3.4")
    assert found.host_pid and found.share_processes and not found.host_ipc


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "SysctlForbidden"),
        (
            {"hostNetwork": True, "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}},
            "SysctlForbidden",
        ),
        ({"resourceClaims": [{"name": "gpu"}]}, "FailedCreatePodSandBox"),
        ({"os": {"name": "windows"}}, "PodOSNotSupported"),
    ],
)
def test_what_cannot_be_had_is_refused(spec: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotPossible) as refused:
        sandbox(**spec)
    assert refused.value.reason == reason


def test_a_runtime_class_needs_a_handler_that_is_there() -> None:
    assert sandbox_of(pod(runtimeClassName="own"), FACTS, HOST, "runc").runtime == "runc"
    with pytest.raises(NotPossible, match="kata"):
        sandbox_of(pod(runtimeClassName="own"), FACTS, HOST, "kata")


def test_safe_sysctls_pass() -> None:
    context = {"sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "0"}]}
    assert sandbox(securityContext=context).sysctls == {"net.ipv4.tcp_syncookies": "0"}


def limits(cpu_limit: str = "", memory_limit: str = "", /, **requests: str) -> dict[str, Any]:
    given = {"cpu": cpu_limit, "memory": memory_limit}
    return {"limits": {key: text for key, text in given.items() if text}, "requests": requests}


@pytest.mark.parametrize(
    ("resources", "kind", "shares", "quota", "memory"),
    [
        ({}, "besteffort/", 2, 0, 0),
        (limits("1", "1Gi", cpu="1", memory="1Gi"), "", 1024, 100_000, 1 << 30),
        (limits("500m", "64Mi", cpu="250m"), "burstable/", 256, 50_000, 64 << 20),
        (limits(cpu="1m"), "burstable/", 2, 0, 0),
        (limits("1m", "1Mi", cpu="1m", memory="1Mi"), "", 2, 1000, 1 << 20),
    ],
)
def test_requests_and_limits(resources: dict[str, Any], kind: str, shares: int, quota: int, memory: int) -> None:
    one = container(resources=resources)
    wanted = pod(one)
    assert amounts.group_of(wanted, "p") == f"p/{kind}pod{UID}"
    for found in (amounts.container_resources(wanted, one), amounts.pod_resources(wanted)):
        assert (found.cpu_shares, found.cpu_quota, found.memory, found.memory_swap) == (shares, quota, memory, memory)


def test_a_pod_is_limited_only_where_all_its_containers_are() -> None:
    both = pod(container(resources=limits("1", "1Gi")), container("other", resources=limits("1")))
    found = amounts.pod_resources(both)
    assert (found.cpu_quota, found.memory) == (200_000, 0)
    whole = pod(container(), resources=limits("2", "1Gi", cpu="1", memory="1Gi"))
    assert amounts.pod_resources(whole).memory == 1 << 30
    first = amounts.container_resources(whole, whole["spec"]["containers"][0])
    assert first.memory == 1 << 30
    assert first.oom_group and not amounts.pod_resources(whole).oom_group  # a container ends whole, the pod does not


def test_who_is_killed_first() -> None:
    capacity = 8 << 30
    guaranteed = container(resources=limits("1", "1Gi", cpu="1", memory="1Gi"))
    assert amounts.oom_score(pod(guaranteed), guaranteed, capacity) == -997
    plain = container()
    assert amounts.oom_score(pod(plain), plain, capacity) == 1000
    half = container(resources=limits(memory="4Gi"))
    half["resources"]["requests"] = {"memory": "4Gi"}
    assert amounts.oom_score(pod(half), half, capacity) == 500
    little = container(resources={"requests": {"memory": "1"}})
    assert amounts.oom_score(pod(little), little, capacity) == 999
    much = container(resources={"requests": {"memory": "8Gi"}})
    assert amounts.oom_score(pod(much), much, capacity) == 3
    sidecar = container("side", restartPolicy="Always", resources={"requests": {"memory": "1Mi"}})
    assert amounts.oom_score(pod(half, initContainers=[sidecar]), sidecar, capacity) == 500
    assert amounts.oom_score(pod(plain, priorityClassName="system-node-critical"), plain, capacity) == -997


def test_huge_pages_are_refused() -> None:
    one = container(resources={"limits": {"hugepages-2Mi": "2Mi"}})
    with pytest.raises(NotPossible, match="unsupported: hugepages-2Mi"):
        amounts.container_resources(pod(one), one)


def rights(own: dict[str, Any], general: dict[str, Any] | None = None, image_user: str = "") -> security.Security:
    one = container(securityContext=own)
    return security.security_of(pod(one, securityContext=general or {}), one, image_user)


@pytest.mark.parametrize(
    ("own", "general", "image", "user"),
    [
        ({}, {}, "app", ""),
        ({"runAsUser": 5}, {}, "app", "5"),
        ({"runAsUser": 5, "runAsGroup": 6}, {}, "app", "5:6"),
        ({"runAsUser": 0}, {"runAsUser": 7, "runAsGroup": 8}, "", "0:8"),
        ({"runAsGroup": 6}, {}, "app:users", "app:6"),
        ({"runAsGroup": 6}, {}, "", "0:6"),
    ],
)
def test_who_it_runs_as(own: dict[str, Any], general: dict[str, Any], image: str, user: str) -> None:
    assert rights(own, general, image).user == user


def test_groups() -> None:
    found = rights({}, {"supplementalGroups": [5, 6], "fsGroup": 6})
    assert (found.groups, found.groups_policy) == (("5", "6"), "merge")
    assert rights({}, {"supplementalGroupsPolicy": "Strict"}).groups_policy == "strict"


@pytest.mark.parametrize(
    ("own", "image", "message"),
    [
        ({"runAsUser": 0}, "", "container's runAsUser breaks non-root policy"),
        ({}, "", "container has runAsNonRoot and image will run as root"),
        ({}, "0:0", "container has runAsNonRoot and image will run as root"),
        ({}, "app", "image has non-numeric user (app), cannot verify user is non-root"),
    ],
)
def test_root_is_refused_where_it_must_not_be(own: dict[str, Any], image: str, message: str) -> None:
    with pytest.raises(NotPossible) as refused:
        rights(own, {"runAsNonRoot": True}, image)
    assert message in refused.value.message
    assert f'(pod: "web_shop({UID})", container: main)' in refused.value.message
    assert rights({"runAsUser": 5}, {"runAsNonRoot": True}).user == "5"
    rights({}, {"runAsNonRoot": True}, "1000:1000")


def test_other_rights() -> None:
    found = rights(
        {
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "procMount": "Unmasked",
        },
        {"seccompProfile": {"type": "RuntimeDefault"}},
    )
    assert (found.add, found.drop, found.read_only, found.unmasked) == (("NET_ADMIN",), ("ALL",), True, True)
    assert found.options == ("no-new-privileges=true", "seccomp=builtin")
    assert rights({"privileged": True}).privileged
    assert rights({}).options == ("seccomp=unconfined",)
    own = rights({"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}})
    assert (own.options, own.profile) == ((), "a.json")
    assert rights({"appArmorProfile": {"type": "Unconfined"}, "seLinuxOptions": {"level": "s0"}})
    with pytest.raises(NotPossible, match="Cannot enforce AppArmor"):
        rights({"appArmorProfile": {"type": "RuntimeDefault"}})


class Pinned:
    """Mounts that remember what was asked for."""

    def __init__(self) -> None:
        self.pins: list[tuple[str, str, str]] = []

    def memory(self, path: Path, *, size: int = 0, mode: int = 0o755, owner: int = 0) -> None: ...

    def pin(self, root: Path, part: str, place: Path, *, read_only: bool = False, owner: int = 0) -> None:
        self.pins.append((str(root), part, str(place)))

    def read(self, root: Path, part: str, limit: int) -> bytes | None:
        return None

    def unmount(self, path: Path) -> None: ...


VOLUMES = {"a": Mounted("folder", "/d/a"), "ro": Mounted("folder", "/d/ro", True), "dev": Mounted("device", "/dev/x")}


async def mounted(*mounts: dict[str, Any], **variables: str) -> tuple[Any, Pinned]:
    one, kernel = container(volumeMounts=list(mounts)), Pinned()
    return await mounting.mounts_of(pod(one), one, VOLUMES, variables, mounts=kernel, facts=FACTS), kernel


async def test_mounts() -> None:
    (plain, read_only, deep, shared), kernel = await mounted(
        {"name": "a", "mountPath": "/x"},
        {"name": "ro", "mountPath": "y"},
        {"name": "a", "mountPath": "/z", "readOnly": True, "recursiveReadOnly": "Enabled"},
        {"name": "a", "mountPath": "/w", "mountPropagation": "HostToContainer"},
    )
    assert (plain.source, plain.target, plain.read_only, plain.propagation) == ("/d/a", "/x", False, "rprivate")
    assert (read_only.target, read_only.read_only, read_only.read_only_non_recursive) == ("/y", True, True)
    assert (deep.read_only_force_recursive, deep.read_only_non_recursive) == (True, False)
    assert shared.propagation == "rslave"
    assert not kernel.pins


async def test_logs_are_shown_where_shippers_look_unless_something_else_is_there() -> None:
    volumes = {**VOLUMES, "log": Mounted("folder", "/var/log")}
    for path, others, shown in (
        ("/var/log", (), {"/var/log/pods": "/nowhere/pods/logs", "/var/log/containers": "/nowhere/pods/log-links"}),
        (
            "/host//log/",
            ("host/log/pods/",),
            {"/host/log/containers": "/nowhere/pods/log-links", "host/log/pods/": "/d/a"},
        ),
    ):
        wanted = [{"name": "log", "mountPath": path}, *({"name": "a", "mountPath": one} for one in others)]
        one = container(volumeMounts=wanted)
        found = await mounting.mounts_of(pod(one), one, volumes, {}, mounts=Pinned(), facts=FACTS)
        targets = requested_mounts(ContainerSpec(image="x", mounts=tuple(found)), ())  # each place once
        assert {each.target: each.source for each in targets} == {
            check_target(mounting.absolute(place)): source for place, source in {path: "/var/log", **shown}.items()
        }


async def test_parts_of_volumes_are_pinned() -> None:
    found, kernel = await mounted(
        {"name": "a", "mountPath": "/x", "subPath": "s/t"},
        {"name": "a", "mountPath": "/y", "subPathExpr": "$(POD)/u"},
        POD="p",
    )
    places = [f"/nowhere/pods/{UID}/volume-subpaths/a/main/{index}" for index in (0, 1)]
    assert [one.source for one in found] == places
    assert kernel.pins == [("/d/a", "s/t", places[0]), ("/d/a", "p/u", places[1])]


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"name": "none", "mountPath": "/x"}, 'cannot find volume "none" to mount into container "main"'),
        ({"name": "dev", "mountPath": "/x"}, 'cannot find volume "dev"'),
        ({"name": "a", "mountPath": "/x", "subPath": "/abs"}, "must not be an absolute path"),
        ({"name": "a", "mountPath": "/x", "subPathExpr": "$(N)"}, 'missing value for "N"'),
        ({"name": "a", "mountPath": "/x", "subPathExpr": "../x"}, "must not contain '..'"),
        ({"name": "a", "mountPath": "/x", "mountPropagation": "Bidirectional"}, "unsupported"),
    ],
)
async def test_mounts_that_cannot_be(mount: dict[str, Any], message: str) -> None:
    with pytest.raises(NotPossible) as refused:
        await mounted(mount)
    assert message in refused.value.message


def test_devices() -> None:
    one = container(volumeDevices=[{"name": "dev", "devicePath": "/dev/disk"}])
    assert mounting.devices_of(one, VOLUMES) == (DeviceMapping("/dev/x", "/dev/disk", "rwm"),)
    with pytest.raises(NotPossible):
        mounting.devices_of(container(volumeDevices=[{"name": "a", "devicePath": "/dev/disk"}]), VOLUMES)
