"""Parts of volumes (subPath): of every kind of volume, of files and folders, those that lead out, and restarts."""

import functools
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
)

pytestmark = pytest.mark.slow

NAME = {"items": [{"path": "down/name", "fieldRef": {"fieldPath": "metadata.name"}}]}
BOTH = {"sources": [{"configMap": {"name": "words", "items": [{"key": "one", "path": "all/one"}]}}]}
WRITTEN: list[tuple[str, Manifest, str, str]] = [
    ("words", {"configMap": {"name": "words"}}, "one", "eins"),
    ("keys", {"secret": {"secretName": "words"}}, "one", "geheim"),
    ("down", {"downwardAPI": NAME}, "down/name", "down"),
    ("all", {"projected": BOTH}, "all/one", "eins"),
]


# Covers: SubPath: Reading content from a configmap volume; SubPath: Reading content from a secret volume;
#   SubPath: Reading content from a downwardAPI volume; SubPath: Reading content from a projected volume;
#   SubPath: Reading content from a configmap volume (mountPath of existing file).
def test_files_of_objects(space: Space) -> None:
    config_map(space, "words", {"one": "eins"})
    secret(space, "words", {"one": "geheim"})
    made = [
        pod(name, "cat /file /v/*/* /v/* 2>/dev/null; true", {"v": source}, [
            {"name": "v", "mountPath": "/file", "subPath": part},
            {"name": "v", "mountPath": "/v"},
        ])
        for name, source, part, _ in WRITTEN
    ]  # fmt: skip
    existing = [{"name": "v", "mountPath": "/etc/resolv.conf", "subPath": "one"}]
    found = said(space, *made, pod("existing", "cat /etc/resolv.conf", {"v": WRITTEN[0][1]}, existing))
    assert found == [text + text for _, _, _, text in WRITTEN] + ["eins"]


def _volumes(space: Space, tmp_path: Path) -> dict[str, Manifest]:
    """One of each kind that may be written."""
    claim(space, "data")
    tmp_path.chmod(0o777)
    return {
        "disk": {"emptyDir": {}},
        "memory": {"emptyDir": {"medium": "Memory"}},
        "host": {"hostPath": {"path": str(tmp_path)}},
        "data": claimed("data"),
    }


# Beyond the list: folders that are there or not, files, several parts, parts for reading alone.
def test_parts_that_may_be_written(space: Space, tmp_path: Path) -> None:
    volumes = _volumes(space, tmp_path)
    first = "mkdir -p /v/there/deep; echo file > /v/there/file; echo deep > /v/there/deep/word"
    script = (
        "cat /there/file /file /deep/word; echo new > /new/x; echo more >> /file; cat /v/none/yet/x /v/there/file;"
        "touch /read/x 2>&1 | grep -c Read-only; echo x 2>/dev/null > /readfile || echo kept; cat /read/file"
    )
    parts = {"/there": "there", "/file": "there/file", "/deep": "there/deep", "/new": "none/yet"}
    mounts: list[Manifest] = [{"name": "v", "mountPath": "/v"}]
    mounts += [{"name": "v", "mountPath": at, "subPath": part} for at, part in parts.items()]
    mounts.append({"name": "v", "mountPath": "/read", "subPath": "there", "readOnly": True})
    mounts.append({"name": "v", "mountPath": "/readfile", "subPath": "there/file", "readOnly": True})
    made = []
    for name, source in volumes.items():
        one = pod(name, script, {"v": source}, mounts, nodeName="node1")
        main = one["spec"]["containers"][0]
        init = {**main, "name": "i", "command": ["sh", "-c", first], "volumeMounts": mounts[:1]}
        one["spec"]["initContainers"] = [init]
        made.append(one)
    del made[3]["spec"]["nodeName"]  # its claim waits for the scheduler
    for text in said(space, *made):
        assert text == "file\nfile\ndeep\nnew\nfile\nmore\n1\nkept\nfile\nmore\n"


# Beyond the list: what leads out of the volume, by a link or by words, is not followed.
def test_nothing_leads_out(space: Space, tmp_path: Path) -> None:
    volumes = _volumes(space, tmp_path)
    for part in ("../up", "/absolute", "a/../b"):
        mounts = [{"name": "v", "mountPath": "/v", "subPath": part}]
        refused = space.request("POST", "pods", pod("wrong", "true", {"v": {"emptyDir": {}}}, mounts))
        assert refused.status == 422 and "subPath" in refused.object["message"], refused
    ways = {"out": "/etc", "file": "/etc/passwd", "none": "/nowhere/at/all", "up": "../../../..", "ok": "in"}
    links = "; ".join(["cd /v; mkdir in", *(f"ln -s {way} {name}" for name, way in ways.items())])
    names = []
    for kind, source in volumes.items():
        for part in ("out", "file", "none", "up"):
            one = pod(f"{kind}-{part}", "ls /p; echo x > /p/x", {"v": source}, [
                {"name": "v", "mountPath": "/p", "subPath": part}
            ])  # fmt: skip
            main = one["spec"]["containers"][0]
            init = ["sh", "-c", f"test -h /v/ok || ( {links} ) 2>/dev/null; true"]  # the host's is shared
            whole = [{"name": "v", "mountPath": "/v"}]
            one["spec"]["initContainers"] = [{**main, "name": "i", "command": init, "volumeMounts": whole}]
            names.append(str(space.made("pods", one)["metadata"]["name"]))

    for name in names:
        space.until(functools.partial(_is_refused, space, name), f"{name} is refused")
    space.until(
        lambda: any("failed to prepare subPath" in one["message"] for one in space.events()), "an event says so"
    )
    assert not list(tmp_path.glob("in/*"))
    kept = sleeper("inside", {"v": volumes["host"]}, [{"name": "v", "mountPath": "/p", "subPath": "ok"}])
    kept["spec"]["nodeName"] = space.pod("host-out")["spec"]["nodeName"]
    started(space, kept)
    space.shell("inside", "echo x > /p/x")
    assert [one.name for one in tmp_path.glob("in/*")] == ["x"]


def _is_refused(space: Space, name: str) -> bool:
    statuses = space.pod(name)["status"].get("containerStatuses") or [{}]
    waiting = statuses[0].get("state", {}).get("waiting") or {}
    wanted = 'CreateContainerConfigError: failed to prepare subPath for volumeMount "v" of container "c"'
    return f"{waiting.get('reason')}: {waiting.get('message')}".startswith(wanted)


# Beyond the list: a container is started again with its parts, and finds them as they are now.
def test_restarts_find_their_parts(space: Space) -> None:
    config_map(space, "words", {"one": "eins"})
    mounts = [
        {"name": "v", "mountPath": "/folder", "subPath": "folder"},
        {"name": "v", "mountPath": "/v"},
        {"name": "words", "mountPath": "/one", "subPath": "one"},
        {"name": "words", "mountPath": "/words"},
    ]
    volumes: dict[str, Manifest] = {"v": {"emptyDir": {}}, "words": {"configMap": {"name": "words"}}}
    script = "cat /one >> /folder/log; trap 'exit 1' TERM; sleep 3600 & wait"
    started(space, pod("again", script, volumes, mounts, restartPolicy="Always"))
    space.patched("configmaps/words", {"data": {"one": "uno"}})
    until_said(space, "again", "cat /words/one", "^uno$")
    assert space.shell("again", "cat /one") == "eins"
    space.cluster.kubectl("-n", space.name, "exec", "again", "--", "kill", "1", check=False)

    def again() -> Any:
        status = space.pod("again")["status"]["containerStatuses"][0]
        return status["restartCount"] == 1 and "running" in status["state"]

    space.until(again, "the container runs again")
    until_said(space, "again", "cat /v/folder/log", "^einsuno$")
    deleted(space, "again")


# Beyond the list: a part of a claim's volume for reading alone, and one that is not there in a volume for reading.
def test_parts_of_volumes_for_reading(space: Space) -> None:
    claim(space, "data")
    said(space, pod("first", "mkdir -p /v/a; echo x > /v/a/b", {"v": claimed("data")}))
    part = [{"name": "v", "mountPath": "/p", "subPath": "a"}]
    script = "cat /p/b; touch /p/c 2>&1 | grep -c Read-only"
    assert said(space, pod("second", script, {"v": claimed("data", readOnly=True)}, part)) == ["x\n1\n"]
