"""What a pod's processes are, may do and get on one real node, by stock kubectl: users and groups, capabilities, host
namespaces, kernel settings, cgroups and their change in place, runtime classes, a container to look into another."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes_kit import Cluster, running_cluster

from boxship.sys import cgroup
from daemons import docker_program, kubectl_program
from terminals import on_terminal

MANIFEST = """
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: other}
handler: runc
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: unknown}
handler: nothing
---
apiVersion: v1
kind: Pod
metadata: {name: user, labels: {app: rights}}
spec:
  securityContext: {runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, supplementalGroups: [4000]}
  volumes: [{name: place, emptyDir: {}}]
  containers:
    - {name: main, image: busybox, command: [sleep, "1000"], volumeMounts: [{name: place, mountPath: /place}]}
    - {name: own, image: busybox, command: [sleep, "1000"], securityContext: {runAsUser: 1234}}
---
apiVersion: v1
kind: Pod
metadata: {name: locked, labels: {app: rights}}
spec:
  containers:
    - name: main
      image: busybox
      command: [sleep, "1000"]
      securityContext:
        runAsNonRoot: true
        runAsUser: 1000
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
        seccompProfile: {type: RuntimeDefault}
---
apiVersion: v1
kind: Pod
metadata: {name: wrong-root}
spec:
  containers:
    - {name: main, image: busybox, command: [sleep, "1000"], securityContext: {runAsNonRoot: true}}
---
apiVersion: v1
kind: Pod
metadata: {name: loose, labels: {app: rights}}
spec:
  containers:
    - {name: all, image: busybox, command: [sleep, "1000"], securityContext: {privileged: true}}
    - name: some
      image: busybox
      command: [sleep, "1000"]
      securityContext: {capabilities: {add: [NET_ADMIN], drop: [CHOWN]}, seccompProfile: {type: Unconfined}}
---
apiVersion: v1
kind: Pod
metadata: {name: host, labels: {app: rights}}
spec:
  hostNetwork: true
  hostPID: true
  hostIPC: true
  containers: [{name: main, image: busybox, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: shared, labels: {app: rights}}
spec:
  shareProcessNamespace: true
  securityContext:
    sysctls: [{name: net.ipv4.ip_local_port_range, value: "4000 5000"}, {name: kernel.shm_rmid_forced, value: "1"}]
  containers:
    - {name: one, image: busybox, command: [sleep, "1111"]}
    - {name: two, image: busybox, command: [sleep, "2222"]}
---
apiVersion: v1
kind: Pod
metadata: {name: sure, labels: {app: rights}}
spec:
  containers:
    - name: main
      image: busybox
      command: [sleep, "3333"]
      resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 100m, memory: 64Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: some, labels: {app: rights}}
spec:
  containers: [{name: main, image: busybox, command: [sleep, "1000"], resources: {requests: {cpu: 250m}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: other, labels: {app: rights}}
spec:
  runtimeClassName: other
  containers: [{name: main, image: busybox, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Secret
metadata: {name: hush}
stringData: {word: hush}
---
apiVersion: v1
kind: Pod
metadata: {name: own, labels: {app: rights}}
spec:
  hostUsers: false
  securityContext: {fsGroup: 2000, sysctls: [{name: kernel.shm_rmid_forced, value: "1"}]}
  volumes:
    - {name: disk, emptyDir: {}}
    - {name: memory, emptyDir: {medium: Memory}}
    - {name: secret, secret: {secretName: hush, defaultMode: 0400}}
    - {name: host, hostPath: {path: "HOME/host", type: DirectoryOrCreate}}
  containers:
    - name: main
      image: busybox
      command: [sh, -c, "echo said > /dev/stdout; echo left > /dev/termination-log; exec sleep 4444"]
      securityContext: {procMount: Unmasked, capabilities: {add: [NET_ADMIN, SYS_ADMIN]}}
      volumeMounts:
        - {name: disk, mountPath: /disk}
        - {name: memory, mountPath: /memory}
        - {name: memory, mountPath: /part, subPath: a/b}
        - {name: secret, mountPath: /secret}
        - {name: host, mountPath: /host}
    - name: user
      image: busybox
      command: [sleep, "1000"]
      securityContext: {runAsUser: 1000, runAsGroup: 1001, capabilities: {drop: [ALL]}}
      volumeMounts:
        - {name: disk, mountPath: /disk}
        - {name: memory, mountPath: /memory}
        - {name: secret, mountPath: /secret}
---
apiVersion: v1
kind: Pod
metadata: {name: own-other, labels: {app: rights}}
spec:
  hostUsers: false
  runtimeClassName: other
  shareProcessNamespace: true
  containers:
    - {name: main, image: busybox, command: [sh, -c, "echo said > /dev/stdout; exec sleep 5555"]}
    - {name: all, image: busybox, command: [sleep, "1000"], securityContext: {privileged: true}}
---
apiVersion: v1
kind: Pod
metadata: {name: own-wrong}
spec:
  hostUsers: false
  volumes: [{name: kernel, hostPath: {path: /proc/sys}}]
  containers: [{name: main, image: busybox, volumeMounts: [{name: kernel, mountPath: /kernel}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: wrong-runtime}
spec:
  runtimeClassName: unknown
  containers: [{name: main, image: busybox, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: wrong-command}
spec:
  restartPolicy: Never
  containers: [{name: main, image: busybox, command: [/nowhere]}]
"""


@pytest.fixture(scope="module")
def cluster(private_mounts: None) -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_cluster(Path(folder)) as made:
        made.apply(MANIFEST.replace("HOME", folder))
        made.until_pods(10, "app=rights", seconds=60)
        yield made


def inside(cluster: Cluster, pod: str, script: str, container: str = "") -> str:
    where = ("-c", container) if container else ()
    return cluster.kubectl("exec", pod, *where, "--", "sh", "-c", script).stdout


def rights(cluster: Cluster, pod: str, container: str = "") -> dict[str, str]:
    lines = inside(cluster, pod, "cat /proc/1/status", container).splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def pod_of(cluster: Cluster, name: str) -> dict[str, Any]:
    return cluster.get("pod", name)[0]


def limit(cluster: Cluster, name: str, controller: str, v1: str, v2: str, *, container: bool = False) -> str:
    """A control file of a pod's cgroup, or of its only container's."""
    pod = pod_of(cluster, name)
    layout = cgroup.detect()
    mount = Path(layout.controllers[controller])
    (folder,) = (
        path for pattern in ("*/pod", "*/*/pod") for path in mount.glob(f"boxship-pods-*{pattern[1:]}{uid(pod)}")
    )
    if container:
        folder /= pod["status"]["containerStatuses"][0]["containerID"].removeprefix("boxship://")
    return (folder / (v2 if layout.is_v2 else v1)).read_text().strip()


def uid(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["uid"])


def may_lower() -> bool:
    """Whether this machine's root may protect processes from the kernel's hunt for memory."""
    capabilities = next(line for line in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in line)
    return bool(int(capabilities.split()[1], 16) >> 24 & 1)  # CAP_SYS_RESOURCE


def waiting(cluster: Cluster, name: str) -> str:
    state = (pod_of(cluster, name)["status"].get("containerStatuses") or [{}])[0].get("state", {})
    return str((state.get("waiting") or state.get("terminated") or {}).get("reason"))


def test_users_and_groups(cluster: Cluster) -> None:
    assert inside(cluster, "user", "id -u; id -g; id -G", "main").split() == [
        "1000",
        "3000",
        *("3000", "50", "2000", "4000"),  # the image says that this user is of the staff
    ]
    assert inside(cluster, "user", "id -u", "own") == "1234\n"
    assert inside(cluster, "user", "stat -c '%g %a' /place", "main") == "2000 2777\n"
    cluster.until(lambda: waiting(cluster, "wrong-root") == "CreateContainerConfigError", 20, "root is refused")


def test_what_processes_may_do(cluster: Cluster) -> None:
    locked = rights(cluster, "locked")
    assert (int(locked["CapBnd"], 16), locked["NoNewPrivs"], locked["Seccomp"]) == (0, "1", "2")
    done = cluster.kubectl("exec", "locked", "--", "touch", "/file", check=False)
    assert "Read-only file system" in done.stderr
    every, some = rights(cluster, "loose", "all"), rights(cluster, "loose", "some")
    assert int(every["CapEff"], 16) >> 21 & 1 and every["Seccomp"] == "0"  # CAP_SYS_ADMIN
    assert int(some["CapEff"], 16) & 1 == 0 and int(some["CapEff"], 16) >> 12 & 1  # CAP_CHOWN, CAP_NET_ADMIN
    assert some["Seccomp"] == "0" and some["NoNewPrivs"] == "0"


def test_namespaces(cluster: Cluster) -> None:
    shown = inside(cluster, "host", "ps; ip addr")
    assert "boxshipd" in shown and cluster.nodes[0].address in shown
    assert pod_of(cluster, "host")["status"]["podIP"] == cluster.nodes[0].address
    assert "sleep 1111" in inside(cluster, "shared", "ps", "two")
    settings = inside(cluster, "shared", "cd /proc/sys; cat net/ipv4/ip_local_port_range kernel/shm_rmid_forced", "one")
    assert settings.split() == ["4000", "5000", "1"]


def test_users_of_a_pods_own(cluster: Cluster) -> None:
    """Root inside is nobody outside, and files have the owners that the pod knows."""
    ranges = {name: inside(cluster, name, "cat /proc/self/uid_map", "main").split() for name in ("own", "own-other")}
    assert [(where[0], where[2]) for where in ranges.values()] == [("0", "65536")] * 2
    first = {name: int(where[1]) for name, where in ranges.items()}
    assert len(set(first.values())) == 2 and all(each >= 65536 for each in first.values())
    identifier = pod_of(cluster, "own")["status"]["containerStatuses"][0]["containerID"].removeprefix("boxship://")
    pid = int(cluster.docker(0, "inspect", "-f", "{{.State.Pid}}", identifier).stdout)
    assert Path(f"/proc/{pid}").stat().st_uid == first["own"] and os.stat("/dev/null").st_uid == 0
    shown = "stat -c '%u:%g' / /bin/sh /etc/hosts /secret/word /dev/shm /disk /memory /part /host"
    owners = inside(cluster, "own", shown, "main").split()
    assert owners == [*["0:0"] * 3, "0:2000", "0:0", *["0:2000"] * 3, "0:0"], owners
    inside(cluster, "own", "echo x > /new && cp /new /host/file && chown 7:8 /host/file", "main")
    status = (cluster.home / "host/file").stat()
    assert (status.st_uid, status.st_gid) == (7, 8)
    script = "cd /disk && touch file /memory/file && stat -c '%u:%g' file /memory/file && cat /secret/word"
    assert inside(cluster, "own", script, "user").split() == ["1000:2000", "1000:2000", "hush"]


def test_what_root_may_in_namespaces_of_its_own(cluster: Cluster) -> None:
    script = "ip link set lo mtu 1400 && ip addr add 10.9.9.9/32 dev lo && mkdir /p && mount -t proc p /p && ls -d /p/1"
    assert inside(cluster, "own", script, "main") == "/p/1\n"  # only what is shown whole may be mounted once more
    script = "cat /proc/sys/kernel/shm_rmid_forced && echo 0 > /proc/sys/net/ipv4/ip_forward"
    assert inside(cluster, "own", script, "main") == "1\n"
    assert "/proc/" not in inside(cluster, "own", "cut -d' ' -f2 /proc/mounts", "main")
    assert "10.9.9.9" not in cluster.nodes[0].shell("ip addr").stdout
    refused = cluster.kubectl("exec", "own-other", "-c", "all", "--", "mknod", "/disk", "b", "254", "0", check=False)
    assert "Operation not permitted" in refused.stderr
    assert "sleep 5555" in inside(cluster, "own-other", "ps", "all")
    for name in ("own", "own-other"):
        cluster.until(lambda n=name: cluster.kubectl("logs", n, "-c", "main").stdout == "said\n", 20, "the log")
    assert inside(cluster, "own", "echo again > /dev/stdout", "main") == "again\n"

    def names_it() -> bool:
        state = (pod_of(cluster, "own-wrong")["status"].get("containerStatuses") or [{}])[0].get("state", {})
        return "owners of files on proc" in str(state) and waiting(cluster, "own-wrong") == "FailedMount"

    cluster.until(names_it, 20, "the waiting reason names what cannot be mapped")


def test_execs_of_a_pods_own_users_open_their_streams_again(cluster: Cluster) -> None:
    """Users who are not root too, with a terminal and without; who is no user of the pod is refused before he runs."""
    node, script = cluster.nodes[0], "id -u; echo out > /dev/stdout; echo err > /dev/stderr"
    statuses = pod_of(cluster, "own")["status"]["containerStatuses"]
    found = {one["name"]: one["containerID"].removeprefix("boxship://") for one in statuses}
    main, user = found["main"], found["user"]
    by_kubectl = [*node.namespace.enter, kubectl_program(), "exec"]
    by_docker = [docker_program(), "-H", node.url, "exec"]
    execs = (
        (by_kubectl, ["own", "-c", "user", "--"], "1000"),
        (by_docker, [user], "1000"),
        (by_docker, ["-u", "1234:7", main], "1234"),
    )
    environment = cluster.kubectl_environment()
    for program, place, who in execs:
        words = [*program, "-i", *place, "sh", "-c", script]
        done = subprocess.run(words, env=environment, input=b"", capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{who}\nout\n".encode(), b"err\n"), words
        if "-u" in place:
            continue  # crun gives a terminal to the container's own user alone, in whatever namespace
        with on_terminal([*program, "-it", *place, "sh", "-c", script], environment) as terminal:
            assert terminal.rest(60).split() == [who, "out", "err"], words
    for name in ("70000", "1000:70000"):
        refused = node.docker("exec", "-u", name, main, "true", check=False)
        assert refused.returncode and "cannot run as 70000: a pod with users of its own has the ids" in (
            refused.stdout + refused.stderr
        )


def test_files_of_pods_with_users_of_their_own(cluster: Cluster) -> None:
    """Copied, exported and committed with the ids that the pod knows."""
    (cluster.home / "here").write_text("here")
    cluster.kubectl("cp", str(cluster.home / "here"), "own:/copied", "-c", "main")
    assert inside(cluster, "own", "stat -c '%u:%g' /copied", "main") == "0:0\n"
    name = f"k8s_main_own_default_{uid(pod_of(cluster, 'own'))}_0"
    cluster.docker(0, "cp", str(cluster.home / "here"), f"{name}:/brought")
    assert inside(cluster, "own", "stat -c '%u:%g' /brought", "main") == "0:0\n"
    other = name.replace("k8s_main", "k8s_user")
    cluster.docker(0, "cp", "-a", str(cluster.home / "here"), f"{other}:/brought")
    assert inside(cluster, "own", "stat -c '%u:%g' /brought", "user") == "1000:1001\n"
    cluster.docker(0, "cp", f"{name}:/new", str(cluster.home / "out"))
    assert (cluster.home / "out").read_text() == "x\n"
    assert "A /brought" in cluster.docker(0, "diff", name).stdout.splitlines()


def test_a_container_to_look_into_another(cluster: Cluster) -> None:
    cluster.kubectl("debug", "sure", "--image=busybox", "--target=main", "-c", "look", "--", "sleep", "1000")

    def runs() -> bool:
        found = pod_of(cluster, "sure")["status"].get("ephemeralContainerStatuses") or [{}]
        return "running" in found[0].get("state", {})

    cluster.until(runs, 20, "the ephemeral container runs")
    assert "sleep 3333" in inside(cluster, "sure", "ps", "look")


def test_cgroups_and_their_change_in_place(cluster: Cluster) -> None:
    memory = ("memory", "memory.limit_in_bytes", "memory.max")
    quota = ("cpu", "cpu.cfs_quota_us", "cpu.max")
    assert limit(cluster, "sure", *memory) == limit(cluster, "sure", *memory, container=True) == str(64 << 20)
    assert limit(cluster, "sure", *quota, container=True).split()[0] == "10000"
    scores = {name: inside(cluster, name, "cat /proc/1/oom_score_adj").strip() for name in ("sure", "user")}
    assert scores == {"sure": "-997" if may_lower() else "0", "user": "1000"}
    assert 2 < int(inside(cluster, "some", "cat /proc/1/oom_score_adj")) < 1000
    before = pod_of(cluster, "sure")["status"]["containerStatuses"][0]
    bigger = {"requests": {"cpu": "200m", "memory": "96Mi"}, "limits": {"cpu": "200m", "memory": "96Mi"}}
    patch = json.dumps({"spec": {"containers": [{"name": "main", "resources": bigger}]}})
    cluster.kubectl("patch", "pod", "sure", "--subresource=resize", "-p", patch)

    def resized() -> bool:
        found = pod_of(cluster, "sure")["status"]["containerStatuses"][0]
        return bool((found.get("resources") or {}).get("limits", {}).get("memory") == "96Mi")

    cluster.until(resized, 20, "the status tells of the new limits")
    for container in (False, True):
        assert limit(cluster, "sure", *memory, container=container) == str(96 << 20)
        assert limit(cluster, "sure", *quota, container=container).split()[0] == "20000"
    after = pod_of(cluster, "sure")["status"]["containerStatuses"][0]
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)


def test_runtime_classes_and_starts_that_fail(cluster: Cluster) -> None:
    name = f"k8s_main_other_default_{uid(pod_of(cluster, 'other'))}_0"
    assert cluster.docker(0, "inspect", "-f", "{{.HostConfig.Runtime}}", name).stdout.strip() == "runc"
    cluster.until(lambda: "no runtime for" in cluster.kubectl("get", "events").stdout, 20, "an event says why")
    cluster.until(lambda: pod_of(cluster, "wrong-command")["status"]["phase"] == "Failed", 20, "it fails")
    ended = pod_of(cluster, "wrong-command")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] in (127, 128) and "/nowhere" in ended["message"], ended


def test_dockers_prunes_leave_pods_alone(cluster: Cluster) -> None:
    """Whoever asks for a pod's end must find its containers, ended ones too."""
    before = cluster.docker(0, "ps", "-aq").stdout
    cluster.docker(0, "system", "prune", "-af")
    assert cluster.docker(0, "ps", "-aq").stdout == before and before
    assert "pods" in cluster.docker(0, "network", "ls").stdout


def test_all_of_it_outlives_the_agent(cluster: Cluster) -> None:
    names = ("user", "locked", "loose", "host", "shared", "some", "other", "own", "own-other")
    before = {name: pod_of(cluster, name)["status"]["containerStatuses"][0]["containerID"] for name in names}
    cluster.nodes[0].kill()
    cluster.nodes[0].start()
    cluster.until(
        lambda: cluster.kubectl("exec", "shared", "-c", "two", "--", "true", check=False).returncode == 0,
        20,
        "the agent answers again",
    )
    assert "sleep 1111" in inside(cluster, "shared", "ps", "two")
    for name in names:
        status = pod_of(cluster, name)["status"]["containerStatuses"][0]
        assert (status["containerID"], status["restartCount"]) == (before[name], 0), name
