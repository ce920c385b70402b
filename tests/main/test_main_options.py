"""boxshipd's options: what is read, what wins, what is refused, and that each one has its effect."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid, Unsupported
from boxship.main.options import Options, check, parse_arguments, parse_pool
from daemons import Daemon, running_daemon


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "c.toml", 'log-level = "debug"\nruntime = "runc"\naddress-pool = ["10.1.0.0/16:24"]\n')
    options = parse_arguments(["--config", file, "--log-level", "error", "--log-opt", "max-size=1m"])
    assert (options.log_level, options.runtime, options.address_pool) == ("error", "runc", ("10.1.0.0/16:24",))
    assert options.log_opt == {"max-size": "1m"}
    assert options.host == ("unix:///run/boxship/boxship.sock",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('data-rot = "/x"', "data-rot"),
        ("mtu = 'big'", "mtu"),
        ("mtu =", "c.toml"),
        ('host = ["http://x"]', "http://x"),
        ('socket-mode = "rw"', "socket-mode"),
        ('log-level = "loud"', "log-level"),
        ('data-root = "x"', "data-root"),
        ('address-pool = ["10.0.0.0/8"]', "10.0.0.0/8"),
        ('dns = ["nowhere"]', "nowhere"),
        ('bridge-subnet = "10.0.0.1/8"', "bridge-subnet"),
        ('ingress-ports = "80"', "ingress-ports"),
        ('log-driver = "syslog"', "syslog"),
    ],
)
def test_wrong_options_are_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(Invalid, match=named):
        parse_arguments(["--config", write(tmp_path / "c.toml", text)])


def test_plain_tcp_is_refused() -> None:
    with pytest.raises(Unsupported, match="unsupported: plain TCP"):
        check(Options(host=("tcp://127.0.0.1:2375",)))


@given(st.text(max_size=30))
def test_pools_are_read_or_refused(text: str) -> None:
    try:
        pool = parse_pool(text)
    except Invalid:
        return
    assert int(pool.base.partition("/")[2]) <= pool.size


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_options_have_their_effect(tmp_path: Path) -> None:
    options = ("--bridge-subnet", "10.213.7.0/24", "--address-pool", "10.217.0.0/16:26", "--runtime", "runc")
    more = (
        "--socket-mode",
        "0600",
        "--log-driver",
        "local",
        "--label",
        "zone=a",
        "--mtu",
        "1300",
        "--dns",
        "192.0.2.1",
    )
    with running_daemon(tmp_path, *options, *more) as daemon:
        assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
        script = "ip -o -4 addr show eth0; cat /sys/class/net/eth0/mtu /etc/resolv.conf"
        shown = daemon.docker("run", "--name", "aa", "busybox", "sh", "-c", script).stdout
        assert " 10.213.7." in shown
        assert "\n1300\n" in shown
        assert "nameserver 192.0.2.1" in shown
        inspected = json.loads(daemon.docker("inspect", "aa").stdout)[0]
        assert inspected["HostConfig"]["Runtime"] == "runc"
        assert inspected["HostConfig"]["LogConfig"]["Type"] == "local"
        daemon.docker("network", "create", "n")
        network = json.loads(daemon.docker("network", "inspect", "n").stdout)[0]
        assert network["IPAM"]["Config"][0]["Subnet"] == "10.217.0.0/26"
        assert json.loads(daemon.docker("info", "--format", "{{json .Labels}}").stdout) == ["zone=a"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_second_daemon_on_the_same_root_is_refused(daemon: Daemon) -> None:
    program = Path(sys.executable).parent / "boxshipd"
    second = [str(program), "--data-root", str(daemon.data), "--run-root", str(daemon.home / "other")]
    done = subprocess.run(second, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "another one works there" in done.stderr
