"""Create bodies into specs and back into inspect, refusals by name, and bodies of any shape, in memory."""

import re
from typing import Any

import pytest
from doors_fake import Desk, container_of
from hypothesis import HealthCheck as Check
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.doors.docker.bodies import ContainerBody, ExecBody, UpdateBody
from boxship.doors.docker.container_json import inspect_json
from boxship.doors.docker.create_body import container_spec
from boxship.doors.docker.decoding import fields_of, shape
from boxship.errors import Invalid, Unsupported

FULL: dict[str, Any] = {
    "Hostname": "h",
    "Domainname": "d.example",
    "User": "1:2",
    "AttachStdin": True,
    "AttachStdout": True,
    "AttachStderr": True,
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Tty": True,
    "OpenStdin": True,
    "StdinOnce": True,
    "Env": ["A=1", "B"],
    "Cmd": ["-c", "true"],
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Timeout": 2000000000, "Retries": 3,
                    "StartPeriod": 4000000000, "StartInterval": 5000000000},
    "Image": "busybox",
    "Volumes": {"/anonymous": {}},
    "WorkingDir": "/w",
    "Entrypoint": ["sh"],
    "Labels": {"l": "v"},
    "StopSignal": "SIGINT",
    "StopTimeout": 3,
    "Shell": ["sh", "-c"],
}  # fmt: skip
HOST: dict[str, Any] = {
    "Binds": ["/a:/b:ro", "named:/n"],
    "ContainerIDFile": "/cid",
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
    "NetworkMode": "mine",
    "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "", "HostPort": ""}]},
    "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 4},
    "VolumeDriver": "local",
    "VolumesFrom": ["other:ro"],
    "ConsoleSize": [24, 80],
    "Annotations": {"an": "no"},
    "CapAdd": ["NET_ADMIN"],
    "CapDrop": ["ALL"],
    "CgroupnsMode": "private",
    "Dns": ["9.9.9.9"],
    "DnsOptions": ["ndots:1"],
    "DnsSearch": ["example"],
    "ExtraHosts": ["x:host-gateway"],
    "GroupAdd": ["staff"],
    "IpcMode": "shareable",
    "OomScoreAdj": 100,
    "PidMode": "host",
    "Privileged": True,
    "PublishAllPorts": True,
    "ReadonlyRootfs": True,
    "SecurityOpt": ["no-new-privileges"],
    "StorageOpt": {"size": "1G"},
    "Tmpfs": {"/run": "size=64k"},
    "UTSMode": "host",
    "UsernsMode": "host",
    "ShmSize": 1048576,
    "Sysctls": {"net.core.somaxconn": "1024"},
    "Runtime": "runc",
    "Init": True,
    "MaskedPaths": ["/proc/kcore"],
    "ReadonlyPaths": [],
    "Mounts": [
        {"Type": "bind", "Source": "/s", "Target": "/t", "ReadOnly": True,
         "BindOptions": {"Propagation": "rslave", "NonRecursive": True, "CreateMountpoint": True}},
        {"Type": "volume", "Source": "v", "Target": "/v",
         "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}, "Subpath": "sub",
                           "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs"}}}},
        {"Type": "tmpfs", "Target": "/tm", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 448, "Options": [["noexec"]]}},
    ],
    "CpuShares": 512,
    "Memory": 67108864,
    "NanoCpus": 500000000,
    "CgroupParent": "/parent",
    "BlkioWeight": 500,
    "BlkioWeightDevice": [{"Path": "/dev/a", "Weight": 200}],
    "BlkioDeviceReadBps": [{"Path": "/dev/a", "Rate": 1}],
    "BlkioDeviceWriteBps": [{"Path": "/dev/a", "Rate": 2}],
    "BlkioDeviceReadIOps": [{"Path": "/dev/a", "Rate": 3}],
    "BlkioDeviceWriteIOps": [{"Path": "/dev/a", "Rate": 4}],
    "CpuPeriod": 100000,
    "CpuQuota": 50000,
    "CpuRealtimePeriod": 1000,
    "CpuRealtimeRuntime": 500,
    "CpusetCpus": "0",
    "CpusetMems": "0",
    "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rw"}],
    "DeviceCgroupRules": ["c 1:3 rwm"],
    "MemoryReservation": 33554432,
    "MemorySwap": 134217728,
    "MemorySwappiness": 10,
    "OomKillDisable": True,
    "PidsLimit": 50,
    "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
}  # fmt: skip
ENDPOINT = {
    "IPAMConfig": {"IPv4Address": "10.1.2.3"},
    "Aliases": ["alias"],
    "MacAddress": "02:42:0a:01:02:03",
    "DriverOpts": {"o": "1"},
    "GwPriority": 5,
}
# What the command line sends of fields that Boxship does not have: empty.
EMPTY = {
    "OnBuild": None,
    "HostConfig": {
        "Cgroup": "",
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        "DeviceRequests": None,
        "Isolation": "",
        "Links": None,
        "Binds": None,
        "MemorySwappiness": -1,
        "PidsLimit": 0,
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "Healthcheck": {},
    },
    "NetworkingConfig": {"EndpointsConfig": {}},
}


def spec_of(body: dict[str, Any]) -> Any:
    return container_spec(shape(body, ContainerBody))


def test_every_field_comes_back_in_inspect() -> None:
    networking = {"EndpointsConfig": {"mine": ENDPOINT}}
    spec = spec_of({**FULL, "HostConfig": HOST, "NetworkingConfig": networking})
    shown = inspect_json(container_of(spec), (1, 51), [])
    host = shown["HostConfig"]
    assert {name: host.get(name) for name in HOST} == HOST
    # the environment and the health check are the engine's to merge; the rest of Config is the request's
    assert {name: shown["Config"].get(name) for name in FULL} == FULL
    endpoint = shown["NetworkSettings"]["Networks"]["mine"]
    assert {name: endpoint[name] for name in ENDPOINT} == ENDPOINT


def test_the_test_body_names_every_field_of_the_structs() -> None:
    whole = {**FULL, "HostConfig": HOST, "NetworkingConfig": {}}
    assert {name.lower() for name in whole} == set(fields_of(ContainerBody)) - {
        "argsescaped", "networkdisabled", "macaddress", "onbuild",
    }  # fmt: skip
    host = fields_of(fields_of(ContainerBody)["hostconfig"][1].__args__[0])
    assert {name.lower() for name in HOST} == set(host) - {"autoremove", "links", "isolation"}


def test_empty_fields_that_we_do_not_have_are_fine() -> None:
    assert spec_of({"Image": "x", **EMPTY}) == spec_of({"Image": "x"})


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"HostConfig": {"DeviceRequests": [{"Count": 1}]}}, "HostConfig.DeviceRequests"),
        ({"HostConfig": {"CpuCount": 2}}, "HostConfig.CpuCount"),
        ({"HostConfig": {"Nonsense": "x"}}, "HostConfig.Nonsense"),
        ({"HostConfig": {"Cgroup": "x"}}, "HostConfig.Cgroup"),
        ({"HostConfig": {"KernelMemory": 5}}, "HostConfig.KernelMemory"),
        ({"OnBuild": ["RUN x"]}, "OnBuild"),
        ({"Nonsense": True}, "Nonsense"),
        ({"HostConfig": {"Mounts": [{"Type": "image", "Target": "/x"}]}}, "HostConfig.Mounts type image"),
        ({"HostConfig": {"Mounts": [{"Type": "bind", "Cluster": {"a": 1}}]}}, "HostConfig.Mounts[0].Cluster"),
        (
            {"NetworkingConfig": {"EndpointsConfig": {"n": {"IPAMConfig": {"LinkLocalIPs": ["169.254.1.1"]}}}}},
            "NetworkingConfig.EndpointsConfig.n.IPAMConfig.LinkLocalIPs",
        ),
    ],
)
def test_what_we_do_not_have_is_refused_by_name(body: dict[str, Any], name: str) -> None:
    with pytest.raises(Unsupported) as caught:
        spec_of({"Image": "x", **body})
    assert str(caught.value) == f"unsupported: {name}"


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ({"PortBindings": {"80/xyz": []}}, 'invalid port specification: "80/xyz"'),
        ({"PortBindings": {"70000/tcp": []}}, 'invalid port specification: "70000/tcp"'),
        ({"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}, 'invalid port specification: "x"'),
        ({"PortBindings": {"80/tcp": [{"HostIp": "nowhere"}]}}, "invalid IP address: nowhere"),
        ({"OomScoreAdj": 5000}, "range for oom score adj"),
        ({"ShmSize": -1}, "SHM size can not be less than 0"),
        ({"ConsoleSize": [1, 2, 3]}, "ConsoleSize"),
        ({"Isolation": "hyperv"}, "invalid isolation 'hyperv' on linux"),
        ({"Mounts": [{"Type": "bind", "Target": "/x"}]}, "field Source must not be empty"),
        ({"Mounts": [{"Type": "bind", "Source": "x", "Target": "/x"}]}, "mount path must be absolute"),
        ({"Mounts": [{"Type": "tmpfs", "Source": "x", "Target": "/x"}]}, "field Source must not be specified"),
        ({"Mounts": [{"Type": "tmpfs", "Target": "/x", "BindOptions": {}}]}, "BindOptions must not be specified"),
        ({"Mounts": [{"Type": "volume"}]}, "field Target must not be empty"),
        ({"Mounts": [{"Target": "/x"}]}, "mount type unknown"),
    ],
)
def test_wrong_values_have_clear_texts(host: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=re.escape(text)):
        spec_of({"Image": "x", "HostConfig": host})


def test_shorthands_and_letter_cases() -> None:
    spec = spec_of({"image": "x", "CMD": "one word", "hostconfig": {"memory": 5, "capadd": "ALL"}})
    assert (spec.image, spec.command, spec.resources.memory, spec.capabilities_add) == ("x", ("one word",), 5, ("ALL",))
    assert spec_of({"Entrypoint": [], "Cmd": []}).entrypoint is None
    assert spec_of({"Entrypoint": [""]}).entrypoint == ("",)
    assert spec_of({"Labels": {"a": None}, "Env": [None]}).labels == {"a": ""}


def test_ports_are_exposed_with_their_bindings() -> None:
    spec = spec_of({"ExposedPorts": {"80": {}, "90-92/udp": None}, "HostConfig": {"PortBindings": {"443/tcp": None}}})
    assert spec.exposed_ports == ("80/tcp", "90/udp", "91/udp", "92/udp", "443/tcp")
    assert spec.ports == ()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"Env": [1]}, "cannot unmarshal number into field Env[0] of type string"),
        ({"Tty": "yes"}, "cannot unmarshal string into field Tty of type bool"),
        ({"HostConfig": {"Memory": "1g"}}, "cannot unmarshal string into field HostConfig.Memory of type number"),
        ({"HostConfig": {"Memory": 1.5}}, "cannot unmarshal number into field HostConfig.Memory of type number"),
        ({"HostConfig": {"Memory": 2**70}}, "HostConfig.Memory"),
        ({"HostConfig": []}, "cannot unmarshal array into field HostConfig of type object"),
        ({"User": "a\0b"}, "field User holds a NUL character"),
        ({"Labels": {"a\0b": ""}}, "field Labels holds a NUL character"),
    ],
)
async def test_wrong_types_name_the_field(body: dict[str, Any], text: str) -> None:
    async with Desk() as desk:
        status, message = await desk.error("POST", "/containers/create", body)
        assert status == 400 and message.startswith("invalid JSON: ") and text in message


async def test_create_replies_with_id_and_warnings() -> None:
    async with Desk() as desk:
        made = await desk.json("POST", "/v1.43/containers/create?name=a", {"Image": "x"})
        assert made == {"Id": desk.engine.containers.get("a").id, "Warnings": ["a warning"]}
        assert await desk.error("POST", "/containers/create", {}) == (
            400,
            "config cannot be empty in order to create a container",
        )
        assert await desk.error("POST", "/containers/create", {"Image": "missing"}) == (
            404,
            "No such image: missing:latest",
        )


async def test_update_changes_what_is_given_alone() -> None:
    async with Desk() as desk:
        await desk.json(
            "POST", "/containers/create?name=a", {"Image": "x", "HostConfig": {"Memory": 5, "CpuShares": 7}}
        )
        assert await desk.json("POST", "/containers/a/update", {"Memory": 9, "CpuShares": 0}) == {"Warnings": None}
        limits = desk.engine.containers.get("a").spec.resources
        assert (limits.memory, limits.cpu_shares) == (9, 7)
        assert await desk.error("POST", "/containers/a/update", {"Ulimits": [{"Name": "x"}]}) == (
            400,
            "unsupported: Ulimits of a container that exists",
        )


# random bodies: known names with values of any shape, and unknown ones

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def bodies(struct: Any) -> st.SearchStrategy[dict[str, Any]]:
    names = [encoded for encoded, _ in fields_of(struct).values()]
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=8), values, max_size=6)


whole = st.builds(
    lambda body, host, networking: {**body, "HostConfig": host, "NetworkingConfig": networking},
    bodies(ContainerBody),
    bodies(fields_of(ContainerBody)["hostconfig"][1].__args__[0]) | values,
    values,
)


@settings(deadline=None, max_examples=200, suppress_health_check=[Check.too_slow])
@given(whole)
async def test_random_create_bodies_never_fail_inside(body: dict[str, Any]) -> None:
    async with Desk() as desk:
        answer = await desk.ask("POST", "/containers/create", body)
        assert answer.status in (201, 400), await answer.read()
        if answer.status == 201:
            await desk.json("GET", "/containers/json?all=1")
            await desk.json("GET", f"/containers/{desk.engine.containers.list()[0].id}/json")


@settings(deadline=None, max_examples=100)
@given(bodies(UpdateBody), bodies(ExecBody), values)
async def test_other_random_bodies_never_fail_inside(update: Any, execute: Any, other: Any) -> None:
    async with Desk() as desk:
        desk.engine.containers.add(container_of(spec_of({"Image": "x"}), "a"))
        for path, body in (
            ("/containers/a/update", update),
            ("/containers/a/exec", execute),
            ("/networks/create", other),
            ("/networks/n/connect", other),
            ("/volumes/create", other),
            ("/commit?container=a", other),
            ("/exec/x/start", other),
        ):
            answer = await desk.ask("POST", path, body)
            assert answer.status < 500, (path, await answer.read())


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
async def test_random_bytes_are_malformed_json(data: bytes) -> None:
    async with Desk() as desk:
        assert (await desk.ask("POST", "/containers/create", data)).status in (201, 400)
