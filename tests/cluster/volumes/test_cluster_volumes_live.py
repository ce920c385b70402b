"""Pods with everything that they may ask for, on a real node: variables, files, volumes, rights, limits."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes_kit import Cluster, running_cluster

from daemons import until

SECONDS = 90.0

OBJECTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue, size: "3", "app.conf": "a=1\\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {token: sesame}
---
apiVersion: v1
kind: Service
metadata: {name: my-db}
spec: {ports: [{port: 5432}], selector: {app: none}}
"""

EVERYTHING = """
apiVersion: v1
kind: Pod
metadata: {name: everything, labels: {app: demo}, annotations: {note: "hello"}}
spec:
  hostname: named
  subdomain: sub
  terminationGracePeriodSeconds: 1
  securityContext:
    {runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, supplementalGroups: [4000], supplementalGroupsPolicy: Strict}
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: ["sh", "-c", "echo $(GREETING) > /dev/termination-log; sleep 3600"]
    env:
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}
    - {name: GREETING, value: "hi-$(COLOUR)-$(MY_DB_SERVICE_PORT)"}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    envFrom: [{configMapRef: {name: settings}, prefix: C_}]
    resources: {limits: {cpu: 250m, memory: 64Mi}, requests: {cpu: 100m, memory: 32Mi}}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}
    volumeMounts:
    - {name: config, mountPath: /config}
    - {name: config, mountPath: /single, subPath: colour}
    - {name: keys, mountPath: /keys}
    - {name: all, mountPath: /all}
    - {name: disk, mountPath: /disk}
    - {name: disk, mountPath: /mine, subPathExpr: of-$(POD)}
    - {name: memory, mountPath: /memory}
    - {name: host, mountPath: /host, readOnly: true}
  volumes:
  - {name: config, configMap: {name: settings}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0400}}
  - name: all
    projected:
      sources:
      - {serviceAccountToken: {path: token, expirationSeconds: 600}}
      - {configMap: {name: kube-root-ca.crt}}
      - {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: host, hostPath: {path: HOST, type: Directory}}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("v")) as found:
        found.kubectl("apply", "-f", "-", data=OBJECTS)
        found.until(lambda: account(found), SECONDS, "the default account")
        yield found


def account(cluster: Cluster) -> bool:
    return cluster.kubectl("get", "serviceaccount", "default", check=False).returncode == 0


def run(cluster: Cluster, pod: str, script: str, *words: str, check: bool = True) -> str:
    return cluster.kubectl("exec", pod, *words, "--", "sh", "-c", script, check=check).stdout.strip()


def ready(cluster: Cluster, name: str) -> None:
    cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={SECONDS:.0f}s", check=False)
    pod = cluster.get("pod", name)[0]
    assert pod["status"]["phase"] == "Running", cluster.report()


def waiting(cluster: Cluster, name: str) -> dict[str, Any]:
    """Why the first container does not run."""
    statuses = cluster.get("pod", name)[0]["status"].get("containerStatuses") or [{}]
    found: dict[str, Any] = statuses[0].get("state", {}).get("waiting") or {}
    return found


def pods_root(cluster: Cluster) -> Path:
    return Path(cluster.nodes[0].data) / "pods"


@pytest.fixture(scope="module")
def everything(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    host = tmp_path_factory.mktemp("host")
    (host / "file").write_text("from the host")
    for path in (host, *host.parents[:2]):
        path.chmod(0o755)
    cluster.apply(EVERYTHING.replace("HOST", str(host)))
    ready(cluster, "everything")
    return "everything"


def test_variables_and_names(cluster: Cluster, everything: str) -> None:
    found = dict(line.split("=", 1) for line in run(cluster, everything, "env").splitlines() if "=" in line)
    pod = cluster.get("pod", everything)[0]
    assert found["GREETING"] == "hi-blue-5432"
    assert (found["TOKEN"], found["POD"], found["CPU"], found["C_size"]) == ("sesame", everything, "250", "3")
    assert found["IP"] == pod["status"]["podIP"]
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert found["HOSTNAME"] == run(cluster, everything, "hostname") == "named"
    hosts = run(cluster, everything, "cat /etc/hosts")
    assert [pod["status"]["podIP"], "named.sub.default.svc.cluster.local", "named"] in [
        line.split() for line in hosts.splitlines()
    ]
    resolver = run(cluster, everything, "cat /etc/resolv.conf")
    assert "nameserver 10.96.0.10" in resolver and "ndots:5" in resolver
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in resolver


def test_files_and_folders(cluster: Cluster, everything: str) -> None:
    paths = ("/config/app.conf", "/single", "/keys/token", "/all/labels", "/host/file", "/all/token", "/all/ca.crt")
    read = run(cluster, everything, f"for each in {' '.join(paths)}; do cat $each; echo; echo ==; done").split("==")
    texts = dict(zip(paths, (text.strip() for text in read), strict=False))
    assert [texts[path] for path in paths[:5]] == ["a=1", "blue", "sesame", 'app="demo"', "from the host"]
    assert texts["/all/token"].count(".") == 2
    assert texts["/all/ca.crt"].startswith("-----BEGIN CERTIFICATE")
    refused = run(cluster, everything, "touch /host/x /config/x /keys/x /etc/x 2>&1; true")
    assert refused.count("Read-only file system") == 4
    script = (
        "echo 1 > /mine/x && cat /disk/of-everything/x && echo 2 > /memory/y"
        " && stat -c '%a %g' /disk /memory /keys/..data/token"
        " && grep ' /keys ' /proc/mounts | cut -d' ' -f3; dd if=/dev/zero of=/memory/z bs=1M count=9 2>&1"
    )
    said = run(cluster, everything, script, check=False).splitlines()
    assert said[:5] == ["1", "2777 2000", "2777 2000", "440 2000", "tmpfs"]
    assert "No space left" in said[5]
    run(cluster, everything, "rm /memory/z")


def test_rights_and_limits(cluster: Cluster, everything: str) -> None:
    assert run(cluster, everything, "id -u; id -g; id -G").splitlines() == ["1000", "3000", "3000 2000 4000"]
    status = dict(
        line.split(":\t", 1) for line in run(cluster, everything, "cat /proc/1/status").splitlines() if ":\t" in line
    )
    assert (status["NoNewPrivs"], status["Seccomp"], status["CapBnd"]) == ("1", "2", "0" * 16)
    score = int(run(cluster, everything, "cat /proc/1/oom_score_adj"))
    assert 900 < score < 1000
    found = cluster.docker(0, "ps", "-q", "--filter", "label=io.kubernetes.container.name=main").stdout.split()[0]
    limits = json.loads(cluster.docker(0, "inspect", found).stdout)[0]["HostConfig"]
    assert (limits["Memory"], limits["MemorySwap"], limits["CpuQuota"], limits["CpuShares"]) == (
        64 << 20,
        64 << 20,
        25_000,
        102,
    )


def test_mounted_maps_follow_and_parts_do_not(cluster: Cluster, everything: str) -> None:
    cluster.kubectl("patch", "configmap", "settings", "-p", json.dumps({"data": {"colour": "red", "new": "1"}}))
    cluster.kubectl("label", "pod", everything, "app=other", "--overwrite")
    until(lambda: run(cluster, everything, "cat /config/colour /config/new") == "red1", 5, lambda: "the files follow")
    assert run(cluster, everything, "cat /single") == "blue"
    until(lambda: 'app="other"' in run(cluster, everything, "cat /all/labels"), 5, lambda: "the labels follow")
    cluster.nodes[0].kill()
    cluster.nodes[0].start()
    cluster.kubectl("patch", "configmap", "settings", "-p", json.dumps({"data": {"colour": "green"}}))
    until(lambda: run(cluster, everything, "cat /config/colour", check=False) == "green", 15, lambda: cluster.report())
    assert run(cluster, everything, "cat /memory/y") == "2"
    uid = cluster.get("pod", everything)[0]["metadata"]["uid"]
    assert (pods_root(cluster) / uid).exists()
    cluster.kubectl("delete", "pod", everything)
    until(lambda: not (pods_root(cluster) / uid).exists(), 10, lambda: "nothing is left of the pod")


def test_what_is_missing_is_named_and_then_found(cluster: Cluster) -> None:
    spec = {
        "containers": [
            {
                "name": "main",
                "image": "busybox",
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "3600"],
                "envFrom": [{"configMapRef": {"name": "later"}}],
            }
        ],
        "terminationGracePeriodSeconds": 0,
    }
    volumes = [{"name": "v", "secret": {"secretName": "later"}}]
    for name, more in (("needs-map", {}), ("needs-secret", {"volumes": volumes})):
        cluster.apply(
            json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {**spec, **more}})
        )
    until(lambda: waiting(cluster, "needs-map").get("reason") == "CreateContainerConfigError", 10, lambda: "")
    assert waiting(cluster, "needs-map")["message"] == 'configmap "later" not found'

    def told() -> bool:
        return (
            'MountVolume.SetUp failed for volume "v" : secret "later" not found'
            in cluster.kubectl("get", "events").stdout
        )

    until(told, 10, cluster.report)
    until(lambda: waiting(cluster, "needs-secret").get("reason") == "ContainerCreating", 10, cluster.report)
    cluster.kubectl("create", "configmap", "later", "--from-literal=a=1")
    cluster.kubectl("create", "secret", "generic", "later", "--from-literal=a=1")
    for name in ("needs-map", "needs-secret"):
        ready(cluster, name)
    cluster.kubectl("delete", "pod", "needs-map", "needs-secret")


@pytest.mark.slow
def test_root_is_refused(cluster: Cluster) -> None:
    overrides = {"spec": {"securityContext": {"runAsNonRoot": True}}}
    words = ("--image=busybox", "--image-pull-policy=IfNotPresent", f"--overrides={json.dumps(overrides)}")
    cluster.kubectl("run", "rooted", *words, "--", "sleep", "60")
    until(lambda: waiting(cluster, "rooted").get("reason") == "CreateContainerConfigError", 10, cluster.report)
    assert "container has runAsNonRoot and image will run as root" in waiting(cluster, "rooted")["message"]
    cluster.kubectl("delete", "pod", "rooted", "--grace-period=0", "--force")


CLAIMED = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: ["sh", "-c", "echo NAME >> /data/log; sleep 3600"]
    volumeMounts:
    - {name: data, mountPath: /data}
    - {name: scratch, mountPath: /scratch}
    - {name: files, mountPath: /files}
    - {name: files, mountPath: /part, subPath: bin}
    - {name: files, mountPath: /tool/busybox, subPathExpr: $(FOLDER)/busybox}
    env: [{name: FOLDER, value: bin}]
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: data}}
  - name: scratch
    ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}}
  - {name: files, image: {reference: busybox, pullPolicy: IfNotPresent}}
"""


def test_claims_are_served_and_taken_back(cluster: Cluster) -> None:
    for name in ("first", "second"):
        cluster.apply(CLAIMED.replace("NAME", name))
        ready(cluster, name)
        assert run(cluster, name, "touch /scratch/x; ls /files/bin/sh /part/sh; /tool/busybox echo part").split() == [
            *("/files/bin/sh", "/part/sh", "part")
        ]
        for place in ("/files/x", "/part/x"):
            assert "Read-only" in cluster.kubectl("exec", name, "--", "touch", place, check=False).stderr
        if name == "first":
            assert cluster.get("pvc", "first-scratch")[0]["status"]["phase"] == "Bound"
            cluster.kubectl("delete", "pod", name)
    until(lambda: run(cluster, "second", "cat /data/log").split() == ["first", "second"], 10, "both wrote into it")
    until(lambda: len(cluster.get("pv")) == 2, 10, lambda: "the first pod's own claim has gone with it")
    volume = cluster.get("pvc", "data")[0]["spec"]["volumeName"]
    folder = Path(cluster.nodes[0].data) / "local-volumes" / volume
    assert (folder / "log").read_text().split() == ["first", "second"]
    cluster.kubectl("patch", "pvc", "data", "-p", '{"spec": {"resources": {"requests": {"storage": "2Gi"}}}}')
    until(lambda: cluster.get("pvc", "data")[0]["status"]["capacity"]["storage"] == "2Gi", 10, cluster.report)
    cluster.kubectl("delete", "pvc", "data", "--wait=false")
    assert folder.exists()  # while a pod uses it
    cluster.kubectl("delete", "pod", "second")
    until(lambda: not cluster.get("pv") and not cluster.get("pvc"), 15, cluster.report)
    assert not folder.exists()
    assert not list((pods_root(cluster) / "memory").iterdir())


SPECIAL = """
apiVersion: v1
kind: Pod
metadata: {name: special}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 0
  dnsPolicy: None
  dnsConfig: {nameservers: [192.0.2.53], searches: [corp.example], options: [{name: timeout, value: "2"}]}
  hostAliases: [{ip: 192.0.2.7, hostnames: [far, away]}]
  securityContext: {sysctls: [{name: net.ipv4.ip_local_port_range, value: "2000 2999"}]}
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sleep, "3600"]
    workingDir: /somewhere/new
    securityContext: {privileged: true}
    volumeMounts: [{name: shared, mountPath: /dev/shm}, {name: one, mountPath: /etc/one.conf, subPath: conf}]
  - name: other
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sleep, "3601"]
    securityContext: {procMount: Default, capabilities: {add: [NET_ADMIN]}}
    volumeMounts: [{name: shared, mountPath: /x}]
  volumes:
  - {name: shared, emptyDir: {medium: Memory}}
  - {name: one, downwardAPI: {items: [{path: conf, fieldRef: {fieldPath: metadata.name}}]}}
"""


@pytest.mark.slow
def test_special_wishes(cluster: Cluster) -> None:
    cluster.apply(SPECIAL)
    ready(cluster, "special")

    def say(script: str, container: str = "main") -> str:
        return run(cluster, "special", script, "-c", container)

    assert say("pwd") == "/somewhere/new"
    assert say("cat /etc/one.conf") == "special"
    assert say("sysctl -n net.ipv4.ip_local_port_range").split() == ["2000", "2999"]
    resolver = set(say("cat /etc/resolv.conf").splitlines())
    assert resolver == {"nameserver 192.0.2.53", "search corp.example", "options timeout:2"}
    hosts = [line.split() for line in say("cat /etc/hosts").splitlines()]
    assert {name for line in hosts if line and line[0] == "192.0.2.7" for name in line[1:]} == {"far", "away"}
    say("echo shared > /dev/shm/file")
    assert say("cat /x/file", "other") == "shared"
    seen = say("ps -o args")
    assert "sleep 3600" in seen and "sleep 3601" in seen
    assert int(say("grep CapEff /proc/self/status | cut -f2"), 16) > 1 << 36
    assert int(say("grep CapEff /proc/self/status | cut -f2", "other"), 16) & 1 << 12
    words = (
        "--image=busybox",
        "--image-pull-policy=IfNotPresent",
        "--target=main",
        "--profile=general",
        "-q",
        "--attach=false",
    )
    cluster.kubectl("debug", "special", *words, "--container=eye", "--", "sleep", "3602")

    def there() -> bool:
        statuses = cluster.get("pod", "special")[0]["status"].get("ephemeralContainerStatuses") or [{}]
        return "running" in statuses[0].get("state", {})

    until(there, 10, cluster.report)
    assert "sleep 3600" in say("ps -o args", "eye")
    cluster.kubectl("delete", "pod", "special")


CLASSES = """
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: ordinary}
handler: crun
overhead: {podFixed: {memory: 1Mi}}
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: strange}
handler: kata
"""


@pytest.mark.slow
def test_runtime_classes(cluster: Cluster) -> None:
    cluster.apply(CLASSES)
    for name in ("ordinary", "strange"):
        overrides = {"spec": {"runtimeClassName": name, "terminationGracePeriodSeconds": 0}}
        words = ("--image=busybox", "--image-pull-policy=IfNotPresent", f"--overrides={json.dumps(overrides)}")
        cluster.kubectl("run", name, *words, "--", "sleep", "60")
    ready(cluster, "ordinary")

    def told() -> bool:
        events = cluster.kubectl("get", "events", "--field-selector=involvedObject.name=strange").stdout
        return "FailedCreatePodSandBox" in events and 'no runtime for "kata" is configured' in events

    until(told, 10, cluster.report)
    cluster.kubectl("delete", "pod", "ordinary", "strange")


BLOCK = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: raw}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteOnce]
  storageClassName: raw
  volumeMode: Block
  local: {path: DEVICE}
  nodeAffinity:
    required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node1]}]}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: raw}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: raw
  volumeMode: Block
  resources: {requests: {storage: 1Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: raw}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sleep, "3600"]
    volumeDevices: [{name: disk, devicePath: /dev/disk}]
  volumes:
  - {name: disk, persistentVolumeClaim: {claimName: raw}}
"""


@pytest.mark.slow
def test_a_block_device(cluster: Cluster, tmp_path: Path) -> None:
    backing = tmp_path / "disk"
    backing.write_bytes(b"\0" * (1 << 20))
    made = subprocess.run(["losetup", "--find", "--show", str(backing)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no loop devices: {made.stderr}")
    device = made.stdout.strip()
    try:
        cluster.apply(BLOCK.replace("DEVICE", device))
        ready(cluster, "raw")
        run(cluster, "raw", "test -b /dev/disk && echo written > /dev/disk && sync")
        assert run(cluster, "raw", "head -c 7 /dev/disk") == "written"
        cluster.kubectl("delete", "pod/raw", "pvc/raw")
        until(lambda: cluster.get("pv", "raw")[0]["status"]["phase"] == "Released", 10, cluster.report)
        cluster.kubectl("delete", "pv", "raw")
    finally:
        subprocess.run(["losetup", "--detach", device], check=False)
    assert backing.read_bytes()[:7] == b"written"
