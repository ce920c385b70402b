"""From the flags of `run` to the body of a create request."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cli.create_body import create_body
from boxship.cli.flags import UsageError, parse
from boxship.cli.option_text import split_commas
from boxship.cli.port_options import publish
from boxship.cli.verbs.run import COMMAND, start_failure_code
from boxship.errors import BoxshipError, Invalid


def body(*words: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    options, rest = parse(COMMAND.flags, [*words, "image", "cmd", "-x"], interspersed=False)
    return create_body(options, rest[0], rest[1:], environment or {}, detached=options.on("detach"))


def host(*words: str) -> Any:
    return body(*words)["HostConfig"]


def test_a_plain_run() -> None:
    made = body()
    assert made["Image"] == "image" and made["Cmd"] == ["cmd", "-x"] and made["Entrypoint"] is None
    assert (made["AttachStdin"], made["AttachStdout"], made["AttachStderr"]) == (False, True, True)
    assert not made["OpenStdin"] and not made["Tty"] and "Healthcheck" not in made
    assert made["HostConfig"]["NetworkMode"] == "default" and made["NetworkingConfig"] == {"EndpointsConfig": {}}


@pytest.mark.parametrize(
    ("words", "streams", "stdin_once"),
    [
        (("-d",), (False, False, False), False),
        (("-d", "-i"), (False, False, False), False),
        (("-i",), (True, True, True), True),
        (("-a", "stdout"), (False, True, False), False),
        (("-a", "STDERR", "-i"), (True, False, True), True),
    ],
)
def test_streams(words: tuple[str, ...], streams: tuple[bool, ...], stdin_once: bool) -> None:
    made = body(*words)
    assert (made["AttachStdin"], made["AttachStdout"], made["AttachStderr"]) == streams
    assert made["StdinOnce"] == stdin_once


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (("--entrypoint", "sh"), "Entrypoint", ["sh"]),
        (("--entrypoint", ""), "Entrypoint", [""]),
        (("-w", "/x"), "WorkingDir", "/x"),
        (("-u", "1:2"), "User", "1:2"),
        (("-h", "box"), "Hostname", "box"),
        (("-l", "a=b", "-l", "c"), "Labels", {"a": "b", "c": ""}),
        (("-v", "/data"), "Volumes", {"/data": {}}),
        (("--expose", "80", "--expose", "90-91/udp"), "ExposedPorts", {"80/tcp": {}, "90/udp": {}, "91/udp": {}}),
        (("--stop-signal", "INT"), "StopSignal", "INT"),
        (("--stop-timeout", "0"), "StopTimeout", 0),
        (("--no-healthcheck",), "Healthcheck", {"Test": ["NONE"]}),
        (("--health-cmd", "x y", "--health-retries", "3"), "Healthcheck", {"Test": ["CMD-SHELL", "x y"], "Retries": 3}),
        (("--health-interval", "1s"), "Healthcheck", {"Test": None, "Interval": 10**9}),
    ],
)
def test_fields(words: tuple[str, ...], field: str, value: object) -> None:
    assert body(*words)[field] == value


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (("-v", "v:/data:ro"), "Binds", ["v:/data:ro"]),
        (("--tmpfs", "/t:size=1m", "--tmpfs", "/u"), "Tmpfs", {"/t": "size=1m", "/u": ""}),
        (("-m", "64m", "--memory-swap", "-1"), "MemorySwap", -1),
        (("--cpus", "1.5"), "NanoCpus", 1_500_000_000),
        (("--memory-swappiness", "0"), "MemorySwappiness", 0),
        ((), "MemorySwappiness", None),
        (("--pids-limit", "-1"), "PidsLimit", -1),
        (("--restart", "on-failure:3"), "RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 3}),
        (
            ("--device", "/dev/null"),
            "Devices",
            [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "rwm"}],
        ),
        (
            ("--device", "/dev/a:/dev/b:r"),
            "Devices",
            [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"}],
        ),
        (("--device", "vendor/class=x"), "DeviceRequests", [{"Driver": "cdi", "DeviceIDs": ["vendor/class=x"]}]),
        (("--gpus", "all"), "DeviceRequests", [{"Count": -1, "Capabilities": [["gpu"]], "Options": {}}]),
        (("--ulimit", "nofile=1:2"), "Ulimits", [{"Name": "nofile", "Soft": 1, "Hard": 2}]),
        (("--ulimit", "core=-1"), "Ulimits", [{"Name": "core", "Soft": -1, "Hard": -1}]),
        (("--device-read-bps", "/dev/sda:1mb"), "BlkioDeviceReadBps", [{"Path": "/dev/sda", "Rate": 1 << 20}]),
        (("--device-write-iops", "/dev/sda:7"), "BlkioDeviceWriteIOps", [{"Path": "/dev/sda", "Rate": 7}]),
        (("--blkio-weight-device", "/dev/sda:7"), "BlkioWeightDevice", [{"Path": "/dev/sda", "Weight": 7}]),
        (
            ("--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges"),
            "SecurityOpt",
            ["seccomp=unconfined", "no-new-privileges"],
        ),
        (("--security-opt", "systempaths=unconfined"), "MaskedPaths", []),
        (("--sysctl", "a.b=1"), "Sysctls", {"a.b": "1"}),
        (("--add-host", "x:host-gateway", "--add-host", "y=[::1]"), "ExtraHosts", ["x:host-gateway", "y:::1"]),
        (
            ("--log-driver", "local", "--log-opt", "max-size=1m"),
            "LogConfig",
            {"Type": "local", "Config": {"max-size": "1m"}},
        ),
        (("--init",), "Init", True),
        ((), "Init", None),
        (("--oom-kill-disable",), "OomKillDisable", True),
        (("--shm-size", "1m"), "ShmSize", 1 << 20),
        (("--dns-opt", "a", "--dns-option", "b"), "DnsOptions", ["b", "a"]),
        (("--net", "host"), "NetworkMode", "host"),
    ],
)
def test_host_fields(words: tuple[str, ...], field: str, value: object) -> None:
    assert host(*words)[field] == value


@pytest.mark.parametrize(
    ("word", "key", "binding"),
    [
        ("80", "80/tcp", ("", "")),
        ("8080:80", "80/tcp", ("", "8080")),
        ("127.0.0.1:8080:80/udp", "80/udp", ("127.0.0.1", "8080")),
        ("127.0.0.1::80", "80/tcp", ("127.0.0.1", "")),
        ("[::1]:8080:80", "80/tcp", ("::1", "8080")),
        ("8000-8010:80", "80/tcp", ("", "8000-8010")),
        ("target=80,published=8080,protocol=udp", "80/udp", ("", "8080")),
    ],
)
def test_publishes(word: str, key: str, binding: tuple[str, str]) -> None:
    exposed, bindings = publish([word])
    assert exposed == {key} and bindings == {key: [{"HostIp": binding[0], "HostPort": binding[1]}]}


def test_publishes_ranges_side_by_side() -> None:
    _, bindings = publish(["9000-9001:80-81", "7000-7001"])
    assert bindings["81/tcp"] == [{"HostIp": "", "HostPort": "9001"}]
    assert bindings["7001/tcp"] == [{"HostIp": "", "HostPort": ""}]


@pytest.mark.parametrize(
    "word",
    [
        "",
        "x",
        "80:",
        "1-2:1-3",
        "99999",
        "3-1",
        "80/icmp",
        "::1:80:80",
        "300.0.0.1:1:1",
        "a=b",
        "1:2:3:4",
        "80/tcp/udp",
        "١",
    ],
)
def test_refuses_ports(word: str) -> None:
    with pytest.raises(Invalid):
        publish([word])


@given(st.text(alphabet="0123456789:-/[].tcpudx=,", max_size=24))
def test_any_text_is_a_port_or_invalid(word: str) -> None:
    try:
        exposed, bindings = publish([word])
    except Invalid:
        return
    assert exposed == set(bindings)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("type=bind,source=/a,target=/b,readonly", {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}),
        ("src=v,dst=/b,ro=false", {"Type": "volume", "Source": "v", "Target": "/b", "ReadOnly": False}),
        (
            "target=/b,volume-nocopy,volume-label=a=b",
            {"Type": "volume", "Target": "/b", "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}}},
        ),
        (
            'type=volume,dst=/b,"volume-opt=o=uid=1,gid=2"',
            {"Type": "volume", "Target": "/b", "VolumeOptions": {"DriverConfig": {"Options": {"o": "uid=1,gid=2"}}}},
        ),
        (
            "type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=1777",
            {"Type": "tmpfs", "Target": "/b", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1777}},
        ),
        (
            "type=bind,src=/a,dst=/b,bind-propagation=rslave,bind-recursive=disabled",
            {
                "Type": "bind",
                "Source": "/a",
                "Target": "/b",
                "BindOptions": {"Propagation": "rslave", "NonRecursive": True},
            },
        ),
    ],
)
def test_mounts(text: str, mount: dict[str, object]) -> None:
    assert host("--mount", text)["Mounts"] == [mount]


def test_relative_paths_are_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert host("-v", "./x:/y")["Binds"] == [f"{tmp_path}/x:/y"]
    assert host("--mount", "type=bind,src=.,dst=/y")["Mounts"][0]["Source"] == str(tmp_path)


@pytest.mark.parametrize(
    ("words", "mode", "endpoints"),
    [
        (("--network", "n"), "n", {}),
        (("--network", "n", "--network", "m"), "n", {"n": {}, "m": {}}),
        (
            ("--network", "n", "--network-alias", "a", "--ip", "10.0.0.9"),
            "n",
            {"n": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}}},
        ),
        (
            ("--network", "name=n,alias=a,ip=10.0.0.9,driver-opt=x=y,gw-priority=2"),
            "n",
            {
                "n": {
                    "Aliases": ["a"],
                    "IPAMConfig": {"IPv4Address": "10.0.0.9"},
                    "DriverOpts": {"x": "y"},
                    "GwPriority": 2,
                }
            },
        ),
        (("--mac-address", "92:d0:c6:0a:29:33"), "default", {"default": {"MacAddress": "92:d0:c6:0a:29:33"}}),
    ],
)
def test_networks(words: tuple[str, ...], mode: str, endpoints: dict[str, object]) -> None:
    made = body(*words)
    assert made["HostConfig"]["NetworkMode"] == mode and made["NetworkingConfig"]["EndpointsConfig"] == endpoints


def test_variables(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("\ufeff# comment\n\nA=1\n  B=x y\nHOME\nMISSING\n")
    made = body(
        "-e", "C=3", "--env-file", str(file), "-e", "TERM", "-e", "GONE", environment={"HOME": "/h", "TERM": "t"}
    )
    assert made["Env"] == ["A=1", "B=x y", "HOME=/h", "C=3", "TERM=t"]


def test_a_seccomp_profile_is_sent_whole(tmp_path: Path) -> None:
    profile = tmp_path / "p.json"
    profile.write_text('{"a": [1, 2]}\n')
    assert host("--security-opt", f"seccomp={profile}")["SecurityOpt"] == ['seccomp={"a":[1,2]}']


@pytest.mark.parametrize(
    "words",
    [
        ("-d", "-a", "stdin"),
        ("-a", "stdfoo"),
        ("--rm", "--restart", "always"),
        ("--restart", "on-failure:x"),
        ("--restart", ":3"),
        ("--memory-swappiness", "101"),
        ("--cpus", "x"),
        ("--ulimit", "nofile"),
        ("--ulimit", "nofile=2:1"),
        ("--ulimit", "nofile=x"),
        ("--device", ""),
        ("--device", "/a:/b:rwm:x"),
        ("--gpus", "some"),
        ("--gpus", "what=1"),
        ("--no-healthcheck", "--health-cmd", "x"),
        ("--health-interval", "-1s"),
        ("--env-file", "/nonexistent"),
        ("--env", "=x"),
        ("--security-opt", "seccomp=/nonexistent"),
        ("--sysctl", "novalue"),
        ("--log-opt", "novalue"),
        ("--add-host", "novalue"),
        ("--mount", "type=bind,src=/a"),
        ("--mount", "target=/a,what=1"),
        ("--mount", "target=/a,ro=perhaps"),
        ("--mount", "target"),
        ("--mount", 'target="/a'),
        ("--mount", "type=bind,src=/a,dst=/b,volume-nocopy"),
        ("--mount", "type=tmpfs,dst=/b,tmpfs-mode=9"),
        ("--network", "host", "--network", "n"),
        ("--network", "n", "--network", "n"),
        ("--network", "alias=x"),
        ("--network", "name=n,what=1"),
        ("--device-read-bps", "sda:1"),
        ("--device-read-iops", "/dev/sda:x"),
    ],
)
def test_refusals(words: tuple[str, ...]) -> None:
    with pytest.raises(BoxshipError) as caught:
        body(*words)
    assert str(caught.value) and not isinstance(caught.value, UsageError)


def test_a_detached_container_cannot_be_attached() -> None:
    with pytest.raises(Invalid, match="--attach and --detach"):
        body("-d", "-a", "stdout")


@given(st.lists(st.text(max_size=10), min_size=1, max_size=5))
def test_comma_lists_take_any_field_in_quotes(fields: list[str]) -> None:
    quoted = ",".join('"' + field.replace('"', '""') + '"' for field in fields)
    assert split_commas(quoted) == fields


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ("exec /x: no such file or directory", 127),
        ('exec: "/etc": permission denied', 126),
        ("exec: /x: is a directory", 126),
        ("No such image: x", 125),
    ],
)
def test_exit_codes_of_what_cannot_start(message: str, code: int) -> None:
    assert start_failure_code(message) == code
