"""Fixtures of the room: a busybox root, a driver with its own run root, nothing left behind."""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from runtime_kit import APPLETS, BUSYBOX, Box, children, living_children, new_descriptors

from boxship.runtime.driver import Driver
from boxship.sys import cgroup


@pytest.fixture(scope="session", autouse=True)
def apart(private_mounts: None) -> None:
    """Every test of this room mounts and starts programs."""


@pytest.fixture(scope="session")
def rootfs() -> Iterator[Path]:
    """A root filesystem with busybox and a few users."""
    folder = Path(tempfile.mkdtemp(prefix="boxship-rootfs-"))
    for name in ("bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "sbin"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    shutil.copy(BUSYBOX, folder / "bin/busybox")
    for applet in APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nuser:x:1000:\nextra:x:2000:user\n")
    (folder / "etc/plain").write_text("no program\n")
    (folder / "bin/garbage").write_bytes(b"\x00garbage")
    (folder / "bin/garbage").chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def box(rootfs: Path) -> AsyncIterator[Box]:
    # The path is long on purpose: unix sockets must not mind.
    base = Path(tempfile.mkdtemp(prefix="boxship-test-"))
    root = base / ("a-long-folder-name-" * 5) / "run"
    root.mkdir(parents=True)
    instance = f"test{secrets.token_hex(4)}"
    driver = Driver(root, instance=instance, runtimes={}, default="crun")
    await driver.open()
    descriptors = set(os.listdir("/proc/self/fd"))
    others = children()  # of tests before
    yield Box(driver, instance, root, rootfs)
    await driver.sweep(())
    assert living_children(instance, root) == []
    assert list((root / "bundles").iterdir()) == []
    assert await asyncio.to_thread(new_descriptors, descriptors) == []
    assert children() <= others, "every conmon was reaped"
    await driver.close()
    for folder in cgroup.folders(driver.layout, f"/boxship-{instance}"):
        assert not [entry for entry in os.scandir(folder) if entry.is_dir()] if os.path.exists(folder) else True
    shutil.rmtree(base)
    for folder in (
        *cgroup.folders(driver.layout, f"/boxship-{instance}"),
        f"{driver.layout.unified}/boxship-{instance}",
    ):
        assert not os.path.exists(folder), folder
