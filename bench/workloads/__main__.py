"""`python -m bench.workloads`: from a command to pods that are ready, and to none; a rolling update under load; memory.

The peer is the engine alone in the same run: what the same containers cost by `boxship run`, without any cluster. What
the original needs on such a machine stands beside as a target, measured on another day.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bench.figures import percentile
from bench.workloads.following import Pods
from bench.workloads.place import BIN, Cluster, namespace, until
from bench.workloads.readiness import measure_readiness
from bench.workloads.rolling import Load

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES = "/api/v1/namespaces/default/services"
TARGETS = {  # of the design's budgets: milliseconds, MB, or per cent
    "cluster from nothing to a ready node": 2000,
    "deployment of 1: ready": 250,
    "deployment of 50: ready": 2500,
    "deployment of 100: ready": 5000,
    "deployment of 1: gone": 600,
    "deployment of 50: gone": 2500,
    "deployment of 100: gone": 5000,
    "idle: MB of all processes": 150,
    "idle: % of a processor": 1,
    "100 pods: MB besides monitors": 250,
    "rolling update: requests lost": 0,
    "1000 services: ready to traffic": 100,
    "1000 services: not ready to traffic": 100,
}
DOCKERFILE = """FROM busybox
ARG WORD
RUN mkdir -p /www && echo $WORD > /www/index.html
CMD ["sh", "-c", "trap exit TERM; httpd -f -p 80 -h /www & wait"]
"""
Figures = dict[str, list[float]]


def template(image: str, name: str) -> dict[str, object]:
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}],
        },
    }


def deployment(name: str, image: str, replicas: int, **more: object) -> dict[str, object]:
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": template(image, name),
        **more,
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def build(cluster: Cluster, home: Path) -> None:
    """Two versions of a page, from the busybox of this machine."""
    cluster.boxship("base", "busybox")
    (home / "Dockerfile").write_text(DOCKERFILE)
    for word in ("one", "two"):
        cluster.boxship("build", "--quiet", "--build-arg", f"WORD={word}", "-t", f"web:{word}", str(home))


def measure_deployment(cluster: Cluster, count: int) -> Figures:
    """From the request to all pods ready, and from the deletion until the last is gone."""
    pods = Pods(cluster)
    name = f"web-{count}"
    begun = time.perf_counter()
    cluster.ask("POST", DEPLOYMENTS, deployment(name, "web:one", count))
    ready = pods.wait(lambda now: sum(now.known.values()) >= count, f"{count} pods to be ready")
    found = {f"deployment of {count}: ready": [(ready - begun) * 1000]}
    if count >= 100:
        found["100 pods: MB besides monitors"] = [
            sum(size for program, size in cluster.memory().items() if "conmon" not in program)
        ]
    begun = time.perf_counter()
    cluster.ask("DELETE", f"{DEPLOYMENTS}/{name}", {"propagationPolicy": "Background"})
    gone = pods.wait(lambda now: not now.known, "all pods to be gone")
    found[f"deployment of {count}: gone"] = [(gone - begun) * 1000]
    pods.close()
    return found


def measure_pods(cluster: Cluster, rounds: int) -> Figures:
    """Single pods, one after the other, from the request to Running and to ready."""
    running, ready = [], []
    pods = Pods(cluster)
    for number in range(rounds):
        name = f"single-{number}"
        begun = time.perf_counter()
        body = {"apiVersion": "v1", "kind": "Pod", **template("web:one", "single")}
        body["metadata"] = {"name": name}
        cluster.ask("POST", PODS, body)
        pods.wait(lambda now, name=name: name in now.ready, f"pod {name} to be ready")  # type: ignore[misc]
        running.append((pods.running[name] - begun) * 1000)
        ready.append((pods.ready[name] - begun) * 1000)
        cluster.ask("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0})
        pods.wait(lambda now, name=name: name not in now.known, f"pod {name} to be gone")  # type: ignore[misc]
    pods.close()
    return {"pod: create to Running": running, "pod: create to ready": ready}


def measure_rolling(cluster: Cluster, clients: int) -> Figures:
    """Six pods change their version while clients ask without a pause."""
    probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}
    made = deployment("shop", "web:one", 6, strategy={"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 2}})
    spec = made["spec"]["template"]["spec"]  # type: ignore[index]
    spec["containers"][0]["readinessProbe"] = probe  # and no hook that sleeps: the program ends at once
    spec["terminationGracePeriodSeconds"] = 5
    cluster.ask("POST", DEPLOYMENTS, made)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]},
    }
    address = cluster.ask("POST", SERVICES, service)["spec"]["clusterIP"]  # type: ignore[index]
    until(lambda: _available(cluster, "shop") == 6, "six pods")
    until(lambda: urllib.request.urlopen(f"http://{address}/", timeout=5).status == 200, "the service to answer")
    load = Load(str(address), clients)
    with load:
        time.sleep(1)
        begun = time.perf_counter()
        change = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:two"}]}}}}
        cluster.ask("PATCH", f"{DEPLOYMENTS}/shop", change, kind="application/strategic-merge-patch+json")
        until(lambda: _rolled(cluster, "shop"), "the new version everywhere")
        seconds = time.perf_counter() - begun
        time.sleep(1)
    cluster.ask("DELETE", f"{DEPLOYMENTS}/shop", {"propagationPolicy": "Background"})
    cluster.ask("DELETE", f"{SERVICES}/shop")
    until(lambda: not cluster.items(PODS), "all pods to be gone")
    for answer, count in load.answers.items():
        if answer.startswith("lost"):
            between = f"{min(load.losses):.0f} and {max(load.losses):.0f} ms" if load.losses else "?"
            print(f"  {count} x {answer}, between {between} after the load began", file=sys.stderr)
    return {
        "rolling update: ms": [seconds * 1000],
        "rolling update: requests lost": [load.lost],
        "rolling update: requests": [sum(load.answers.values())],
        "rolling update: slowest request": [load.slowest],
    }


def _available(cluster: Cluster, name: str) -> int:
    status = cluster.ask("GET", f"{DEPLOYMENTS}/{name}")["status"]
    assert isinstance(status, dict)
    return int(status.get("availableReplicas", 0))


def _rolled(cluster: Cluster, name: str) -> bool:
    found = cluster.ask("GET", f"{DEPLOYMENTS}/{name}")
    status, spec = found["status"], found["spec"]
    assert isinstance(status, dict) and isinstance(spec, dict)
    metadata = found["metadata"]
    assert isinstance(metadata, dict)
    counts = [status.get(field, 0) for field in ("updatedReplicas", "availableReplicas", "replicas")]
    return status.get("observedGeneration") == metadata["generation"] and counts == [spec["replicas"]] * 3


def measure_engine(cluster: Cluster, rounds: int) -> Figures:
    """The peer: the same image by the engine alone."""
    samples = []
    for _ in range(rounds):
        begun = time.perf_counter()
        name = cluster.boxship("run", "--detach", "web:one").strip()
        samples.append((time.perf_counter() - begun) * 1000)
        cluster.boxship("rm", "--force", name)
    return {"the engine alone: run --detach": samples}


def measure(home: Path, options: argparse.Namespace) -> Figures:
    """Everything, in this process's namespace."""
    cluster = Cluster(home)
    found: Figures = {"cluster from nothing to a ready node": [cluster.up()]}
    try:
        build(cluster, home)
        time.sleep(3)
        used, begun = cluster.processor_seconds(), time.monotonic()
        time.sleep(10)
        found["idle: % of a processor"] = [100 * (cluster.processor_seconds() - used) / (time.monotonic() - begun)]
        found["idle: MB of all processes"] = [sum(cluster.memory().values())]
        found |= measure_engine(cluster, options.rounds)
        found |= measure_pods(cluster, options.rounds)
        for count in options.replicas:
            for _ in range(options.repeat):
                for name, samples in measure_deployment(cluster, count).items():
                    found.setdefault(name, []).extend(samples)
        found |= measure_rolling(cluster, options.clients)
        found |= measure_readiness(cluster, "web:one", options.services, options.rounds)
    finally:
        cluster.down()
    return found


def table(found: Figures) -> str:
    lines = [f"{'':<44}{'p50':>10}{'p99':>10}{'least':>10}{'rounds':>8}{'target':>8}"]
    for name, samples in found.items():
        cells = [percentile(samples, 0.5), percentile(samples, 0.99), min(samples)]
        target = TARGETS.get(name, "")
        lines.append(f"{name:<44}" + "".join(f"{cell:>10.4g}" for cell in cells) + f"{len(samples):>8}{target:>8}")
    ratio = percentile(found["pod: create to Running"], 0.5) / percentile(found["the engine alone: run --detach"], 0.5)
    return "\n".join([*lines, f"a pod's way to Running takes {ratio:.1f} times as long as `boxship run --detach`", ""])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.workloads", description="Measure pods on one node.")
    parser.add_argument("--rounds", type=int, default=30, help="single pods (default 30)")
    parser.add_argument("--replicas", type=int, action="append", help="(default 1, 50, 100)")
    parser.add_argument("--repeat", type=int, default=3, help="deployments of each size (default 3)")
    parser.add_argument("--clients", type=int, default=8, help="during the rolling update (default 8)")
    parser.add_argument("--services", type=int, default=1000, help="beside the measured one (default 1000)")
    parser.add_argument("--json", type=Path, default=Path("build/bench-workloads.json"))
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.replicas = options.replicas or [1, 50, 100]
    if options.inside is None:
        with namespace() as name, tempfile.TemporaryDirectory(prefix="boxship-bench-", dir="/var/lib") as home:
            command = ["nsenter", f"--net=/run/netns/{name}", str(BIN / "python"), "-m", "bench.workloads", *arguments]
            return subprocess.run([*command, "--inside", home], check=False).returncode
    found = measure(options.inside, options)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=1))
    print(table(found), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
