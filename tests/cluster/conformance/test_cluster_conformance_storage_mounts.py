"""Beyond the list: folders of the machine, how mounts are shared, what may not be written, images, groups of files."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance_kit import Space
from volume_cases import (
    Manifest,
    claim,
    claimed,
    config_map,
    deleted,
    pod,
    said,
    secret,
    sleeper,
    started,
    until_said,
    until_told,
)

pytestmark = pytest.mark.slow


def _host(path: Path | str, kind: str = "") -> Manifest:
    return {"hostPath": {"path": str(path), **({"type": kind} if kind else {})}}


def test_kinds_of_host_paths(space: Space, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text\n")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        try:
            os.chdir(tmp_path)  # names of sockets are short
            listening.bind("socket")
        finally:
            os.chdir(here)
        good = {
            "folder": ("Directory", "ls -d /v"),
            "new": ("DirectoryOrCreate", "touch /v/x; echo /v"),
            "file": ("File", "cat /v"),
            "made": ("FileOrCreate", "echo x > /v; cat /v"),
            "socket": ("Socket", "test -S /v && echo socket"),
            "any": ("", "touch /v/x; echo any"),
        }
        pods = [pod(name, script, {"v": _host(tmp_path / name, kind)}) for name, (kind, script) in good.items()]
        pods.append(pod("device", "test -c /v && echo device", {"v": _host("/dev/null", "CharDevice")}))
        assert said(space, *pods) == ["/v\n", "/v\n", "text\n", "x\n", "socket\n", "any\n", "device\n"]
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o755 and (tmp_path / "new" / "x").exists()
        wrong = {
            "no-folder": ("file", "Directory", "is not a directory"),
            "no-file": ("folder", "File", "is not a file"),
            "no-socket": ("file", "Socket", "is not a socket file"),
            "no-device": ("file", "CharDevice", "is not a character device"),
            "no-block": ("file", "BlockDevice", "is not a block device"),
            "missing": ("nothing", "Directory", "is not a directory"),
        }
        for name, (path, kind, _) in wrong.items():
            space.made("pods", pod(name, "true", {"v": _host(tmp_path / path, kind)}))
        for name, (_, _, why) in wrong.items():
            until_told(space, name, f"FailedMount .*hostPath type check failed: .* {why}")
        assert not (tmp_path / "nothing").exists()


def test_host_folders_are_shared_and_kept(space: Space, tmp_path: Path) -> None:
    """What one container writes another reads, the machine has it, and it stays when the pod has gone."""
    made = sleeper("shares", {"v": _host(tmp_path / "a")})
    main = made["spec"]["containers"][0]
    made["spec"]["containers"].append(
        {**main, "name": "d", "volumeMounts": [{"name": "v", "mountPath": "/w", "readOnly": True}]}
    )
    started(space, made)
    space.shell("shares", "echo one > /v/x", "c")
    assert space.shell("shares", "cat /w/x; touch /w/y 2>&1 | grep -c Read-only", "d") == "one\n1\n"
    (tmp_path / "a" / "z").write_text("host")
    until_said(space, "shares", "cat /w/z", "^host$", "d")
    deleted(space, "shares")
    assert (tmp_path / "a" / "x").read_text() == "one\n"


@pytest.fixture
def mounted(space: Space, tmp_path: Path) -> Iterator[Path]:
    """A folder with a filesystem below it, both shared with whoever looks into them."""
    yield tmp_path
    inner = tmp_path / "top" / "later"
    namespace = str(space.cluster.nodes[0].process.pid) if space.cluster.nodes[0].process else ""
    for place in (inner, tmp_path / "top"):
        subprocess.run(
            ["nsenter", "--target", namespace, "--mount", "umount", "-l", str(place)], check=False, capture_output=True
        )


def _mount(space: Space, *words: str) -> None:
    """On the first node, where its daemon sees it."""
    process = space.cluster.nodes[0].process
    assert process is not None
    subprocess.run(
        ["nsenter", "--target", str(process.pid), "--mount", "mount", *words], check=True, capture_output=True
    )


def test_mounts_that_come_later(space: Space, mounted: Path) -> None:
    """HostToContainer shows what is mounted below the folder later, None does not; Bidirectional is refused."""
    top = mounted / "top"
    (top / "later").mkdir(parents=True)
    _mount(space, "--bind", str(top), str(top))
    _mount(space, "--make-shared", str(top))
    ways = ("None", "HostToContainer")
    for way in ways:
        mounts = [{"name": "v", "mountPath": "/v", "mountPropagation": way}]
        space.made("pods", sleeper(way.lower(), {"v": _host(top)}, mounts, nodeName="node1"))
    both = [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]
    refused = space.request("POST", "pods", sleeper("both", {"v": _host(top)}, both))
    assert (
        refused.status == 422
        and "Bidirectional mount propagation is available only to privileged containers" in refused.object["message"]
    )
    privileged = {"securityContext": {"privileged": True}}
    space.made("pods", sleeper("both", {"v": _host(top)}, both, container=privileged, nodeName="node1"))
    space.until_ready(*(way.lower() for way in ways))
    _mount(space, "-t", "tmpfs", "tmpfs", str(top / "later"))
    until_said(space, "hosttocontainer", "grep -c ' /v/later tmpfs' /proc/mounts", "^1$")
    assert "/v/later" not in space.shell("none", "cat /proc/mounts")
    until_told(space, "both", "unsupported: volumeMounts.mountPropagation Bidirectional")
    for name in ("none", "hosttocontainer", "both"):
        deleted(space, name)


def test_what_is_below_is_read_only_too(space: Space, mounted: Path) -> None:
    top = mounted / "top"
    (top / "later").mkdir(parents=True)
    _mount(space, "-t", "tmpfs", "tmpfs", str(top / "later"))
    script = "touch /v/x 2>/dev/null && echo top; touch /v/later/x 2>/dev/null && echo below; true"
    expected = {"Disabled": "below\n", "IfPossible": "", "Enabled": ""}
    pods = []
    for way in expected:
        more = {"mountPropagation": "None"} if way == "Enabled" else {}
        mounts = [{"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": way, **more}]
        pods.append(pod(way.lower(), script, {"v": _host(top)}, mounts, nodeName="node1"))
    assert dict(zip(expected, said(space, *pods), strict=True)) == expected
    told = {way: space.pod(way.lower())["status"]["containerStatuses"][0]["volumeMounts"][0] for way in expected}
    assert {way: one.get("recursiveReadOnly") for way, one in told.items()} == {
        "Disabled": "Disabled",
        "IfPossible": "Enabled",
        "Enabled": "Enabled",
    }
    wrong = [{"name": "v", "mountPath": "/v", "recursiveReadOnly": "Enabled"}]
    refused = space.request("POST", "pods", pod("wrong", "true", {"v": _host(top)}, wrong))
    assert refused.status == 422 and "recursiveReadOnly" in refused.object["message"]
    for one in expected:
        deleted(space, one.lower())


def test_images_are_volumes(space: Space) -> None:
    image: dict[str, Any] = {"image": {"reference": "busybox", "pullPolicy": "IfNotPresent"}}
    script = "ls /v/bin/sh /p/sh; touch /v/x 2>&1 | grep -c Read-only; touch /p/x 2>&1 | grep -c Read-only"
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/p", "subPath": "bin"}]
    assert said(space, pod("files", script, {"v": image}, mounts)) == ["/p/sh\n/v/bin/sh\n1\n1\n"]
    missing = {"image": {"reference": "no-such-image-anywhere", "pullPolicy": "Never"}}
    space.made("pods", pod("missing", "true", {"v": missing}))
    until_told(space, "missing", "ErrImageNeverPull|not present with pull policy of Never")
    nowhere = [{"name": "v", "mountPath": "/p", "subPath": "nowhere"}]
    space.made("pods", pod("nowhere", "true", {"v": image}, nowhere))
    until_told(space, "nowhere", "failed to prepare subPath")


def test_groups_of_files(space: Space, tmp_path: Path) -> None:
    """fsGroup counts for what is the pod's, not for folders of the machine; files that come later belong to it, too."""
    config_map(space, "words", {"one": "eins"})
    secret(space, "keys", {"one": "geheim"})
    claim(space, "data")
    tmp_path.chmod(0o777)
    field = {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}
    token = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
    volumes: dict[str, Manifest] = {
        "map": {"configMap": {"name": "words", "defaultMode": 0o400}},
        "keys": {"secret": {"secretName": "keys"}},
        "down": {"downwardAPI": field},
        "token": {"projected": token},
        "disk": {"emptyDir": {}},
        "memory": {"emptyDir": {"medium": "Memory"}},
        "data": claimed("data"),
        "host": _host(tmp_path),
    }
    script = (
        "for each in /map/one /keys/one /down/name /token/token; do stat -L -c '%a %u %g' $each;"
        " cat $each > /dev/null; done;"
        "for each in disk memory data host; do mkdir /$each/in; touch /$each/in/x; stat -c '%a %g' /$each;"
        " stat -c %g /$each/in/x; done"
    )
    context = {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000}
    found = said(space, pod("group", script, volumes, securityContext=context))[0].splitlines()
    assert found[:4] == ["440 0 2000", "644 0 2000", "644 0 2000", "640 1000 2000"]
    assert found[4:10] == ["2777 2000", "2000"] * 3
    assert found[10:] == ["777 0", "1000"]
    # a claim's files get another group with another pod; OnRootMismatch leaves what fits at the root
    again = {"runAsUser": 1000, "fsGroup": 3000}
    script = "stat -c %g /data/in/x"
    assert said(space, pod("other", script, {"data": claimed("data")}, securityContext=again)) == ["3000\n"]
    script = "chgrp 1000 /data/in/x; stat -c %g /data/in/x"
    keep = {**again, "fsGroupChangePolicy": "OnRootMismatch", "supplementalGroups": [1000], "runAsUser": 0}
    assert said(space, pod("changes", script, {"data": claimed("data")}, securityContext=keep)) == ["1000\n"]
    script = "stat -c %g /data/in/x"
    assert said(space, pod("keeps", script, {"data": claimed("data")}, securityContext=keep)) == ["1000\n"]
    assert said(space, pod("takes", script, {"data": claimed("data")}, securityContext=again)) == ["3000\n"]
