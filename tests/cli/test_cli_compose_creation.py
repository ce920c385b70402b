"""A service's model as the body of a create: every field has its effect, or is refused by name."""

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs

from boxship.cli.composing.acting import create_network
from boxship.cli.composing.creation import Surroundings, creation_body
from boxship.cli.composing.materials import archive, granted
from boxship.cli.composing.surroundings import named_services
from boxship.compose import parts
from boxship.compose.model import AddressRange, Ipam, Material, Network, Project, Service, Volume
from boxship.compose.planning.actions import CreateContainer, CreateNetwork
from boxship.doors.docker.bodies import ContainerBody
from boxship.doors.docker.create_body import container_spec
from boxship.doors.docker.decoding import shape
from boxship.errors import Invalid, Unsupported


class Dictionary:
    """Files of a test."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes:
        return self.files[path]

    def exists(self, path: str) -> bool:
        return path in self.files

    def is_folder(self, path: str) -> bool:
        return False


ACTION = CreateContainer(service="web", name="demo-web-1", number=1, image="app", labels={"own": "1"})
AROUND = Surroundings(
    files=Dictionary({"/p/seccomp.json": b'{"defaultAction": "SCMP_ACT_ALLOW"}'}),
    containers={"db": (("a" * 64, "demo-db-1"),)},
    socket="/run/boxship/boxship.sock",
)
PROJECT = Project(
    name="demo",
    directory="/p",
    networks={"front": Network(name="demo_front"), "back": Network(name="shared")},
    volumes={"data": Volume(name="demo_data")},
    secrets={"key": Material(file="/p/key"), "word": Material(environment="WORD")},
    configs={"conf": Material(content="a=1")},
    environment={"WORD": "secret"},
)
BASIC = Service(name="web")
EXAMPLES: dict[str, Any] = {  # a value for every field that shows in the body, with what it needs beside it
    "annotations": {"a": "b"},
    "blkio_config": parts.BlockIo(weight=300),
    "cap_add": ("NET_ADMIN",),
    "cap_drop": ("ALL",),
    "cgroup": "private",
    "cgroup_parent": "/x",
    "command": ("sh",),
    "cpu_period": 1000,
    "cpu_quota": 500,
    "cpu_rt_period": 10,
    "cpu_rt_runtime": 10,
    "cpu_shares": 5,
    "cpus": 0.5,
    "cpuset": "0",
    "configs": (parts.Grant(source="conf_file"),),
    "deploy": parts.Deploy(resources=parts.Resources(limits=parts.Resource(cpus=2.0, memory=10, pids=3))),
    "device_cgroup_rules": ("c 1:3 mr",),
    "devices": (parts.Device(source="/dev/null"),),
    "dns": ("1.1.1.1",),
    "dns_opt": ("ndots:1",),
    "dns_search": ("example.org",),
    "domainname": "d",
    "entrypoint": (),
    "environment": {"A": "b", "GONE": None},
    "expose": ("80",),
    "external_links": ("other:o",),
    "extra_hosts": ("h=1.2.3.4",),
    "gpus": (parts.DeviceRequest(count=-1),),
    "group_add": ("7",),
    "healthcheck": parts.Healthcheck(test=("CMD", "true"), interval="1m30s", retries=2),
    "hostname": "h",
    "init": True,
    "ipc": "service:db",
    "isolation": "default",
    "labels": {"a": "b"},
    "links": ("db:d",),
    "logging": parts.Logging(driver="local", options={"max-size": "1m"}),
    "mac_address": "02:00:00:00:00:01",
    "mem_limit": 1,
    "mem_reservation": 1,
    "mem_swappiness": 0,
    "memswap_limit": -1,
    "network_mode": "service:db",
    "networks": {"front": None, "back": parts.ServiceNetwork(aliases=("x",), priority=5)},
    "oom_kill_disable": True,
    "oom_score_adj": 5,
    "pid": "host",
    "pids_limit": 5,
    "ports": (parts.Port(target=80, published="8080"),),
    "privileged": True,
    "read_only": True,
    "restart": "on-failure:3",
    "runtime": "crun",
    "secrets": (parts.Grant(source="key"),),
    "security_opt": ("seccomp:seccomp.json", "no-new-privileges:true"),
    "shm_size": 5,
    "stdin_open": True,
    "stop_grace_period": "1m0.5s",
    "stop_signal": "INT",
    "storage_opt": {"size": "1G"},
    "sysctls": {"net.ipv4.ip_forward": "1"},
    "tmpfs": ("/run:size=1m",),
    "tty": True,
    "ulimits": {"nofile": parts.Ulimit(soft=1, hard=2)},
    "use_api_socket": True,
    "user": "1",
    "userns_mode": "host",
    "uts": "host",
    "volumes": (parts.Mount(type="bind", source="/a", target="/b"),),
    "volumes_from": ("db:ro",),
    "working_dir": "/w",
}
ELSEWHERE = {  # what is not in the body, and who gives it its effect
    "attach": "up shows no output of it",
    "build": "builds.service_order",
    "container_name": "the planner: CreateContainer.name",
    "cpu_count": "of Windows: the loader warns",
    "cpu_percent": "of Windows: the loader warns",
    "credential_spec": "refused",
    "depends_on": "the planner: order, and the label",
    "develop": "watch",
    "env_file": "the loader: environment",
    "extensions": "for the user's own use",
    "image": "the planner: CreateContainer.image",
    "label_file": "the loader: labels",
    "name": "the planner",
    "platform": "the query of the create",
    "post_start": "hooks, at the start",
    "pre_stop": "hooks, before the stop",
    "profiles": "the loader",
    "pull_policy": "the planner",
    "scale": "the planner",
}


def body(service: Service, project: Project = PROJECT, **around: Any) -> dict[str, Any]:
    return creation_body(project, service, ACTION, structs.replace(AROUND, **around))


@pytest.mark.parametrize("field", Service.__struct_fields__)
def test_every_field_of_a_service_has_its_effect(field: str) -> None:
    assert (field in EXAMPLES) != (field in ELSEWHERE), f"{field}: neither in the body nor said where else"
    if field in EXAMPLES:
        project = structs.replace(PROJECT, configs={"conf_file": Material(file="/p/conf")})
        needed = {"networks": {"front": None}} if field in ("external_links", "links") else {}
        without = structs.replace(BASIC, **needed)
        assert body(structs.replace(without, **{field: EXAMPLES[field]}), project) != body(without, project)


def test_the_body_is_one_that_the_door_takes() -> None:
    left = ("gpus", "storage_opt", "network_mode", "userns_mode", "cgroup", "runtime")
    fields = {name: value for name, value in EXAMPLES.items() if name not in left}
    project = structs.replace(PROJECT, configs={"conf_file": Material(file="/p/conf")})
    made = json.loads(json.dumps(body(structs.replace(BASIC, **fields), project)))
    spec = container_spec(shape(made, ContainerBody))
    assert spec.image == "app" and spec.entrypoint == ("",)
    assert spec.environment == ("A=b", "GONE", "DOCKER_HOST=unix:///var/run/docker.sock")
    assert spec.network_mode == "shared" and [one.network for one in spec.endpoints] == ["shared", "demo_front"]
    assert spec.endpoints[0].aliases == ("demo-web-1", "web", "x")
    assert spec.endpoints[0].links == ("demo-db-1:d", "demo-db-1:db-1", "demo-db-1:demo-db-1", "other:o")
    assert spec.endpoints[0].mac_address == "02:00:00:00:00:01" and not spec.endpoints[1].mac_address
    assert spec.stop_timeout == 61 and spec.health is not None and spec.health.interval == 90_000_000_000
    assert spec.resources.nano_cpus == 2_000_000_000 and spec.resources.memory == 10 and spec.resources.pids_limit == 3
    assert spec.restart.name == "on-failure" and spec.restart.maximum_retries == 3
    assert spec.volumes_from == (f"{'a' * 64}:ro",) and spec.ipc_mode == f"container:{'a' * 64}"
    assert dict(spec.labels) == {"a": "b", "own": "1"}
    targets = {mount.target: mount for mount in spec.mounts if mount.target}
    assert targets["/run/secrets/key"].read_only and targets["/conf_file"].source == "/p/conf"
    assert targets["/var/run/docker.sock"].source == "/run/boxship/boxship.sock"


def test_networks_in_all_their_forms() -> None:
    settings = parts.ServiceNetwork(
        ipv4_address="10.0.0.5",
        ipv6_address="fd00::5",
        link_local_ips=("169.254.1.1",),
        mac_address="02:00:00:00:00:02",
        driver_opts={"a": "b"},
        gw_priority=7,
        interface_name="eth9",
    )
    made = body(structs.replace(BASIC, networks={"front": settings}))
    endpoint = made["NetworkingConfig"]["EndpointsConfig"]["demo_front"]
    assert endpoint["IPAMConfig"] == {
        "IPv4Address": "10.0.0.5",
        "IPv6Address": "fd00::5",
        "LinkLocalIPs": ["169.254.1.1"],
    }
    assert endpoint["GwPriority"] == 7 and endpoint["MacAddress"] == "02:00:00:00:00:02"
    assert endpoint["DriverOpts"] == {"a": "b", "com.docker.network.endpoint.ifname": "eth9"}
    alone = body(structs.replace(BASIC, networks={"front": settings}), aliases=False)
    assert alone["NetworkingConfig"]["EndpointsConfig"]["demo_front"]["Aliases"] == ["demo-web-1"]
    hosted = body(structs.replace(BASIC, network_mode="host"))
    assert hosted["HostConfig"]["NetworkMode"] == "host" and not hosted["NetworkingConfig"]["EndpointsConfig"]
    joined = body(structs.replace(BASIC, network_mode="service:db"))
    assert joined["HostConfig"]["NetworkMode"] == f"container:{'a' * 64}"
    assert body(BASIC)["HostConfig"]["NetworkMode"] == "none"
    with pytest.raises(Invalid, match="service nobody has no container"):
        body(structs.replace(BASIC, network_mode="service:nobody"))
    with pytest.raises(Invalid, match="undefined network nowhere"):
        body(structs.replace(BASIC, networks={"nowhere": None}))


def test_mounts_in_all_their_forms() -> None:
    def mount(**fields: Any) -> dict[str, Any]:
        service = structs.replace(BASIC, volumes=(parts.Mount(**fields),))
        made: dict[str, Any] = body(service)["HostConfig"]
        return made["Mounts"][0] if made["Mounts"] else made

    named = mount(type="volume", source="data", target="/d", volume=parts.VolumeOptions(nocopy=True, subpath="s"))
    assert named["Source"] == "demo_data" and named["VolumeOptions"]["NoCopy"] and named["VolumeOptions"]["Subpath"]
    assert mount(type="volume", target="/d")["Source"] == ""
    bind = mount(
        type="bind", source="/a", target="/b", bind=parts.BindOptions(create_host_path=True, recursive="disabled")
    )
    assert bind["BindOptions"] == {"CreateMountpoint": True, "NonRecursive": True}
    assert mount(type="bind", source="/a", target="/b", read_only=True, bind=parts.BindOptions(selinux="z"))[
        "Binds"
    ] == ["/a:/b:ro,z"]
    assert mount(type="tmpfs", target="/t", tmpfs=parts.TmpfsOptions(size=5, mode=0o700))["TmpfsOptions"] == {
        "SizeBytes": 5,
        "Mode": 0o700,
    }
    assert mount(type="image", source="i", target="/i", image=parts.ImageOptions(subpath="s"))["ImageOptions"]
    with pytest.raises(Invalid, match="undefined volume other"):
        mount(type="volume", source="other", target="/d")
    heir = structs.replace(BASIC, volumes=(parts.Mount(type="volume", target="/d"),))
    assert [one["Source"] for one in body(heir, inherited={"/d": "old", "/e": "older"})["HostConfig"]["Mounts"]] == [
        "old",
        "older",
    ]


def test_secrets_and_configurations_that_are_no_files_come_as_an_archive() -> None:
    service = structs.replace(
        BASIC,
        secrets=(parts.Grant(source="word", uid="7", gid="8", mode=0o400), parts.Grant(source="key", target="other")),
        configs=(parts.Grant(source="conf", target="/etc/conf"),),
    )
    data = archive(service, granted(PROJECT, service), AROUND.files)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: member for member in tar}
        assert set(members) == {"run/secrets/word", "etc/conf"}
        word = members["run/secrets/word"]
        assert (word.uid, word.gid, word.mode) == (7, 8, 0o400) and members["etc/conf"].mode == 0o444
        content = tar.extractfile("run/secrets/word")
        assert content is not None and content.read() == b"secret"
    assert [mount["Target"] for mount in body(service)["HostConfig"]["Mounts"]] == ["/run/secrets/other"]
    with pytest.raises(Unsupported, match="read-only service web"):
        archive(structs.replace(service, read_only=True), granted(PROJECT, service), AROUND.files)
    with pytest.raises(Invalid, match="the environment has no WORD"):
        granted(structs.replace(PROJECT, environment={}), service)
    with pytest.raises(Unsupported, match="external secret key"):
        granted(
            structs.replace(PROJECT, secrets={"key": Material(external=True)}),
            structs.replace(BASIC, secrets=(parts.Grant(source="key"),)),
        )


def test_deploy_and_what_is_refused() -> None:
    reserved = parts.Resource(cpus=0.5, memory=7, devices=(parts.DeviceRequest(capabilities=("gpu",), count=1),))
    deploy = parts.Deploy(
        labels={"a": "b"},
        resources=parts.Resources(reservations=reserved),
        restart_policy=parts.RestartPolicy(condition="on-failure", max_attempts=4),
    )
    made = body(structs.replace(BASIC, deploy=deploy))
    host = made["HostConfig"]
    assert (host["CpuShares"], host["MemoryReservation"]) == (512, 7)
    assert host["DeviceRequests"][0]["Count"] == 1
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 4}
    assert made["Labels"]["boxship.deploy.label.a"] == "b"
    for wrong in (
        structs.replace(BASIC, credential_spec={"file": "x"}),
        structs.replace(BASIC, deploy=parts.Deploy(mode="replicated-job")),
    ):
        with pytest.raises(Unsupported, match=r"^unsupported: services\.web\."):
            body(wrong)
    with pytest.raises(Unsupported, match="use_api_socket"):
        body(structs.replace(BASIC, use_api_socket=True), socket="")
    assert named_services(structs.replace(BASIC, **{name: EXAMPLES[name] for name in ("links", "ipc")})) == {"db"}


def test_a_network_gets_all_that_the_file_says() -> None:
    asked: list[dict[str, Any]] = []

    class Reached:
        class daemon:
            @staticmethod
            def post(path: str, *, body: dict[str, Any]) -> dict[str, str]:
                asked.append(body)
                return {"Id": "n"}

    ranges = (AddressRange(subnet="10.9.0.0/24", gateway="10.9.0.1"),)
    network = Network(name="n", internal=True, ipam=Ipam(config=ranges), enable_ipv6=False, labels={"a": "b"})
    project = structs.replace(PROJECT, networks={"n": network})
    action = CreateNetwork(key="n", name="n", labels={"own": "1"})
    assert create_network(Reached(), project, action, print) == "n"  # type: ignore[arg-type]
    assert asked[0]["Internal"] and asked[0]["Labels"] == {"a": "b", "own": "1"} and asked[0]["EnableIPv6"] is False
    assert asked[0]["IPAM"]["Config"][0]["Subnet"] == "10.9.0.0/24"
