"""`boxship system check` and `boxship system df --all` against a daemon of their own."""

import concurrent.futures
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxship.spec import digest as digests
from daemons import Daemon, free_port, running_daemon, until


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Daemon]:
    with running_daemon(tmp_path) as daemon:
        yield daemon


def check(daemon: Daemon, *flags: str) -> tuple[int, str]:
    done = daemon.boxship("system", "check", *flags, check=False)
    return done.returncode, done.stdout


def layers_of(daemon: Daemon, image: str) -> list[str]:
    shown = json.loads(daemon.docker("image", "inspect", image).stdout)[0]
    return list(digests.chain_ids(tuple(shown["RootFS"]["Layers"])))


def test_usage_is_what_du_says(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "box", "-v", "kept:/data", "busybox", "sh", "-c", "echo x >/data/x; sleep 1000")
    (own.data / "strange").write_bytes(bytes(10_000))
    (own.data / "content/partials/pull-1").write_bytes(b"x" * 5000)

    def agrees() -> bool:
        os.sync()
        usage = json.loads(own.boxship("system", "df", "--all", "--format", "json").stdout.splitlines()[0])
        assert usage["Name"]
        rows = [json.loads(line) for line in own.boxship("system", "df", "-a", "--format", "json").stdout.splitlines()]
        said = subprocess.run(["du", "-s", "--block-size=1", own.data], capture_output=True, text=True, check=True)
        names = {row["Name"] for row in rows}
        assert {"blobs: images", "layers: images", "volumes", "containers: logs", "state store"} <= names
        assert {"other: strange", "partial downloads", "containers: writable layers"} <= names
        return sum(int(row["Bytes"]) for row in rows) == int(said.stdout.split()[0])

    until(agrees, 10, "the sum is what du says")  # a log or the store's journal may grow in between
    table = own.boxship("system", "df", "--all").stdout
    assert "total" in table and str(own.data) in table


def test_a_whole_store_has_no_findings(own: Daemon) -> None:
    own.docker("create", "-v", "kept:/data", "busybox")
    assert check(own) == (0, "Everything is as it should be.\n")
    assert check(own, "--rate", "0", "--repair", "--quiet")[0] == 0


def test_a_check_beside_everything_else_finds_nothing(own: Daemon) -> None:
    archive = own.home / "busybox.tar"
    own.docker("save", "-o", str(archive), "busybox")
    ended = threading.Event()

    def work(number: int) -> None:
        while not ended.is_set():
            own.docker("load", "-i", str(archive))
            box = own.docker("create", "-v", f"vol{number}:/x", "busybox").stdout.strip()
            own.docker("commit", box, f"made{number}")
            own.docker("rm", "-v", box)
            own.docker("rmi", f"made{number}")
            own.docker("volume", "rm", f"vol{number}")

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work, number) for number in range(3)]
        try:
            for _ in range(12):
                assert check(own, "--rate", "0") == (0, "Everything is as it should be.\n")
        finally:
            ended.set()
        for work_done in working:
            work_done.result()


def test_damage_is_found_and_repaired(own: Daemon) -> None:
    blobs = sorted((own.data / "content/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer = blobs[-1]
    data = layer.read_bytes()
    layer.chmod(0o600)
    layer.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    code, said = check(own)
    assert code == 1 and f"blob sha256:{layer.name}" in said and "image busybox" in said and "--repair" in said
    assert layer.exists()
    code, said = check(own, "--repair")
    assert code == 1 and "moved to content/quarantine" in said and not layer.exists()
    code, said = check(own)
    assert code == 1 and "it is not there" in said and "pull or load" in said
    layer.write_bytes(data)  # as a pull would bring it again
    code, said = check(own, "--repair")
    assert code == 1 and "a good one is here" in said
    assert check(own)[0] == 0


def test_a_layer_that_is_gone_is_unpacked_again(own: Daemon) -> None:
    [chain] = layers_of(own, "busybox")
    folder = own.data / "snapshots/layers" / digests.encoded(chain)
    shutil.rmtree(folder)
    code, said = check(own)
    assert code == 1 and f"layer {chain}" in said and "it is not there" in said
    code, said = check(own, "--repair")
    assert code == 1 and "unpacked again" in said
    assert check(own)[0] == 0
    assert own.docker("run", "--rm", "busybox", "echo", "fine").stdout == "fine\n"


def test_orphans_and_strays(own: Daemon) -> None:
    data = b"nobody's"
    orphan = own.data / "content/blobs/sha256" / digests.encoded(digests.of_bytes(data))
    orphan.write_bytes(data)
    stray = own.data / "content/blobs/sha256/README"
    stray.write_bytes(b"hello")
    code, said = check(own)
    assert code == 1 and "nobody needs it" in said and str(stray) in said and orphan.exists()
    code, said = check(own, "--repair")
    until(lambda: not orphan.exists(), 5, "the orphan is gone")
    assert stray.exists()
    stray.unlink()
    assert check(own)[0] == 0


def test_records_whose_parts_are_elsewhere(own: Daemon) -> None:
    box = own.docker("create", "--name", "box", "-v", "kept:/data", "busybox").stdout.strip()
    shutil.rmtree(own.data / "snapshots/active" / box)
    shutil.rmtree(own.data / "volumes/kept")
    code, said = check(own)
    assert code == 1
    assert "container box: its writable layer is gone" in said and "volume kept: its data is gone" in said


def test_a_damaged_blob_of_the_registry_names_its_repository(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with running_daemon(tmp_path, "--registry", address) as daemon:
        daemon.docker("tag", "busybox", f"{address}/team/app:1")
        daemon.docker("push", f"{address}/team/app:1")
        assert check(daemon)[0] == 0
        blob = max((daemon.data / "content/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
        data = blob.read_bytes()
        blob.chmod(0o600)
        blob.write_bytes(b"x" + data[1:])
        code, said = check(daemon, "--repair")
        assert code == 1 and "repository team/app" in said and f"image {address}/team/app:1" in said
        daemon.docker("push", f"{address}/team/app:1", check=False)
        daemon.docker("rmi", "-f", "busybox", f"{address}/team/app:1")
        assert "team/app" in check(daemon)[1]  # a push from elsewhere has to bring it again
