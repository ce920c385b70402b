"""How full volumes are: which are measured, what is counted, and how it is told."""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from boxship.cluster.node.planning import Mounted, VolumeFigures
from boxship.cluster.node.server.prometheus import volume_lines
from boxship.cluster.node.volumes import measuring
from boxship.cluster.node.volumes.measuring import LONGEST_SECONDS, Measured, Measures, measure

VOLUMES: list[dict[str, Any]] = [
    {"name": "disk", "emptyDir": {}},
    {"name": "memory", "emptyDir": {"medium": "Memory"}},
    {"name": "map", "configMap": {"name": "m"}},
    {"name": "host", "hostPath": {"path": "/"}},
    {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
    {"name": "generic", "ephemeral": {"volumeClaimTemplate": {}}},
    {"name": "gone", "emptyDir": {}},
    {"name": "far", "persistentVolumeClaim": {"claimName": "host"}},
    {"name": "device", "persistentVolumeClaim": {"claimName": "raw"}},
]


def test_what_is_measured(tmp_path: Path) -> None:
    pod = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"volumes": VOLUMES}}
    volumes = {one["name"]: Mounted("folder", str(tmp_path / one["name"])) for one in VOLUMES}
    for one in VOLUMES:
        if one["name"] != "gone":
            (tmp_path / one["name"]).mkdir()
    (tmp_path / "claim" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "host" / "file").write_bytes(b"x")
    local: dict[str, Any] = {"spec": {"local": {"path": "/x"}}}
    behind: dict[str, dict[str, Any]] = {
        "claim": local,
        "generic": local,
        "far": {"spec": {"hostPath": {"path": "/"}}},
        "device": {"spec": {"local": {"path": "/dev/x"}, "volumeMode": "Block"}},
    }
    found = measure(pod, volumes, behind)
    named = {one.name: one for one in found.figures}
    assert list(named) == ["disk", "memory", "map", "claim", "generic"]
    assert [named[name].claim for name in ("disk", "claim", "generic")] == ["", "data", "web-generic"]
    assert [one.name for one in found.figures if one.ephemeral] == ["disk"]
    assert named["claim"].used >= 100_000 > named["disk"].used and named["claim"].inodes_used == 2
    status = os.statvfs(tmp_path)
    assert named["claim"].capacity == status.f_blocks * status.f_frsize
    assert found.until < time.monotonic() + LONGEST_SECONDS


async def test_one_walk_at_a_time_and_nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scrapers ask every few seconds, and threads are few: a volume of very many files must not take all of them."""
    monkeypatch.setattr(measuring, "WAIT_SECONDS", 0.02)
    measures, let, walks = Measures(), threading.Event(), 0
    figures = VolumeFigures("v", "", False, 1, 2, 3, 4, 5, 6)

    def walk() -> Measured:
        nonlocal walks
        walks += 1
        let.wait(20)
        return Measured([figures], time.monotonic() + 60)

    assert await asyncio.gather(*(measures.of(uid, walk) for uid in "aaabbc")) == [()] * 6
    assert walks == 1
    measures.forget("c")
    let.set()
    while not await measures.of("b", walk):
        continue
    assert await measures.of("a", walk) == [figures] and walks == 2


def test_a_claim_is_told_once() -> None:
    one = VolumeFigures("v", 'da"ta', False, 1, 2, 3, 4, 5, 6)
    none = VolumeFigures("w", "", True, 1, 2, 3, 4, 5, 6)
    pods = [{"metadata": {"namespace": "n", "uid": uid}} for uid in ("a", "b", "c")]
    lines = "".join(volume_lines(pods, {"a": [one, none], "b": [one]})).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        f'kubelet_volume_stats_{word}{{namespace="n",persistentvolumeclaim="da\\"ta"}} {value}'
        for word, value in (
            ("available_bytes", 3),
            ("capacity_bytes", 2),
            ("inodes", 5),
            ("inodes_free", 6),
            ("inodes_used", 4),
            ("used_bytes", 1),
        )
    ]
