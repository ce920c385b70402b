"""What the machines themselves may do: clocks that jump, disks that fill. Nothing that was acknowledged is lost, and
what stood still goes on by itself."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_kit import Writers, answered_well, life, whole
from nodes_kit import Cluster, running_cluster

from daemons import PROJECT, until

pytestmark = pytest.mark.slow
FAKETIME = PROJECT / "build" / "faketime" / "libfaketime.so.1"
JUMPS = (3600, -3600, 86_400 - 3600, 0)  # seconds from the true time, one after the other
DISK = "48m"


def with_other_clock(cluster: Cluster, offset: Path) -> None:
    """Start the control plane again with a clock that is wrong by what the file says; the monotonic one stays right, as
    it does when a machine's clock is set. The nodes have the true time."""
    offset.write_text("+0")
    cluster.control.stop()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LD_PRELOAD", str(FAKETIME))
        patched.setenv("FAKETIME_TIMESTAMP_FILE", str(offset))
        patched.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        patched.setenv("FAKETIME_CACHE_DURATION", "1")
        cluster.control.start()


def test_a_clock_that_jumps_moves_no_pod(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not FAKETIME.exists():
        pytest.skip(f"{FAKETIME} is not there: tools/cluster-peers.sh")
    offset = tmp_path_factory.mktemp("offset") / "offset"
    with running_cluster(tmp_path_factory.mktemp("clock"), nodes=2) as cluster:
        with_other_clock(cluster, offset)
        with life(cluster) as (writers, _, twins):
            before = {pod["metadata"]["uid"] for pod in cluster.pods("app=db")}
            for seconds in JUMPS:
                offset.write_text(f"{seconds:+d}")
                kept = len(writers.kept)
                cluster.until(lambda kept=kept: len(writers.kept) > kept + 20, 60, f"writes go on at {seconds:+d} s")
                whole(cluster)
                answered_well(cluster)
                gone = cluster.pods("app=web")[0]["metadata"]["name"]
                cluster.kubectl("delete", "pod", gone)
                whole(cluster)
        assert not writers.lost()
        assert not twins.seen
        assert {pod["metadata"]["uid"] for pod in cluster.pods("app=db")} == before


@contextlib.contextmanager
def on_small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "small", str(folder)], check=True)
    try:
        yield
    finally:
        until(lambda: subprocess.run(["umount", str(folder)], check=False).returncode == 0, 20, "the disk is unmounted")


def test_a_full_disk_of_the_control_plane_refuses_and_goes_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("disk")
    cluster = Cluster(home, 1, (), ())
    with on_small_disk(cluster.control.data):
        try:
            cluster.start(join=True, image=True)
            cluster.kubectl("create", "deployment", "web", "--image=busybox", "--replicas=2", "--", "sleep", "3600")
            cluster.until_pods(2, "app=web")
            running = cluster.docker(0, "ps", "-q").stdout
            with Writers(cluster) as writers:
                cluster.until(lambda: len(writers.kept) > 20, 30, "writes")
                filler = cluster.control.data / "filler"
                with contextlib.suppress(OSError), filler.open("wb") as file:
                    while True:
                        file.write(bytes(1 << 20))
                cluster.until(lambda: refused(cluster) in (507, 503, 500), 60, "a write to be refused")
                assert cluster.control.request("GET", "/api/v1/namespaces/default/pods").status == 200
                assert cluster.docker(0, "ps", "-q").stdout == running
                filler.unlink()
                kept = len(writers.kept)
                cluster.until(lambda: len(writers.kept) > kept + 20, 60, "writes go on")
            assert not writers.lost()
            cluster.kubectl("scale", "deployment/web", "--replicas=3")
            cluster.until_pods(3, "app=web", seconds=60)
        finally:
            cluster.close()


def refused(cluster: Cluster) -> int:
    """The status of a large write; 0 where nobody answers."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"generateName": "large-"},
        "data": {"x": "x" * 900_000},
    }
    with contextlib.suppress(OSError):
        return cluster.control.request("POST", "/api/v1/namespaces/default/configmaps", body).status
    return 0
