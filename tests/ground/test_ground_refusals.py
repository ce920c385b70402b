"""What docs/docker.md calls refused is refused, by name, before a container runs."""

import os

import pytest

from daemons import Daemon

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

REFUSED = {
    "--gpus": ("all", "HostConfig.DeviceRequests"),
    "--ip6": ("2001:db8::3", "IPv6"),
    "--link": ("other:alias", "HostConfig.Links"),
    "--link-local-ip": ("169.254.1.1", "LinkLocalIPs"),
    "--isolation": ("hyperv", "isolation"),
    "--kernel-memory": ("8m", "HostConfig.KernelMemory"),
    "--storage-opt": ("size=1G", "HostConfig.StorageOpt"),
    "--userns": ("private", "HostConfig.UsernsMode"),
    "--log-driver": ("syslog", "syslog"),
    "--log-opt": ("mode=non-blocking", "mode"),
    "--security-opt": ("apparmor=profile", "apparmor"),
    "--mount": ("type=image,source=busybox,target=/x", "image"),
    "--runtime": ("nothing", "nothing"),
    "--pull": ("sometimes", "invalid pull option"),
    "--sysctl": ("kernel.panic=1", "kernel.panic"),
}


@pytest.mark.parametrize("flag", REFUSED)
def test_a_refused_flag_is_named(daemon: Daemon, flag: str) -> None:
    value, text = REFUSED[flag]
    done = daemon.boxship("run", "--rm", f"{flag}={value}", "busybox", "true", check=False)
    assert done.returncode == 125, done.stdout + done.stderr
    assert text in done.stderr


def test_a_volume_driver_that_is_not_there_is_named(daemon: Daemon) -> None:
    for volume in ("/data", "some-name:/data"):
        done = daemon.boxship("run", "--rm", "--volume-driver", "nfs", "-v", volume, "busybox", "true", check=False)
        assert done.returncode == 125
        assert "volume driver nfs" in done.stderr
