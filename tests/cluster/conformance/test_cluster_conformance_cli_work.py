"""An application by the stock client's own means, what its pods say, and what a client's input does to them."""

import re
import subprocess
import time
from pathlib import Path

import pytest
from client_kit import EVERY, program_of
from conformance_kit import Space

pytestmark = pytest.mark.slow

HERE = "--image-pull-policy=IfNotPresent"
GUESTBOOK = """
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: programs}
    data:
      store: |
        #!/bin/sh
        printf 'Content-Type: text/plain\\n\\n'
        [ -z "$QUERY_STRING" ] || { echo "$QUERY_STRING" > /tmp/entry; }
        cat /tmp/entry 2>/dev/null || true
      copy: |
        #!/bin/sh
        printf 'Content-Type: text/plain\\n\\n'
        wget -qO- http://primary/cgi-bin/store
      guestbook: |
        #!/bin/sh
        printf 'Content-Type: text/plain\\n\\n'
        case "$QUERY_STRING" in
        set=*) wget -qO- "http://primary/cgi-bin/store?${QUERY_STRING#set=}" ;;
        *) wget -qO- http://replica/cgi-bin/copy ;;
        esac
"""
TIER = """
    ---
    apiVersion: v1
    kind: Service
    metadata: {{name: {name}, labels: {{app: guestbook, tier: {tier}}}}}
    spec:
      ports: [{{port: 80, targetPort: http}}]
      selector: {{app: guestbook, role: {name}}}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {{name: {name}}}
    spec:
      replicas: {count}
      selector: {{matchLabels: {{app: guestbook, role: {name}}}}}
      template:
        metadata: {{labels: {{app: guestbook, role: {name}, tier: {tier}}}}}
        spec:
          terminationGracePeriodSeconds: 0
          volumes: [{{name: www, configMap: {{name: programs, defaultMode: 0755}}}}]
          containers:
          - name: c
            image: busybox
            imagePullPolicy: IfNotPresent
            command: [httpd, -f, -p, "8080", -h, /www]
            ports: [{{name: http, containerPort: 8080}}]
            volumeMounts: [{{name: www, mountPath: /www/cgi-bin}}]
"""


# Covers: Kubectl, guestbook application.
def test_a_guestbook_takes_an_entry(space: Space) -> None:
    tiers = (("primary", "backend", 1), ("replica", "backend", 2), ("frontend", "frontend", 3))
    texts = [TIER.format(name=name, tier=tier, count=count) for name, tier, count in tiers]
    manifest = "".join([GUESTBOOK, *texts])
    space.kubectl("create", "-f", "-", data=re.sub("(?m)^    ", "", manifest))
    page = "services/frontend:80/proxy/cgi-bin/guestbook"
    space.until(lambda: space.request("GET", page).status == 200, "the front page is there")
    space.until(lambda: space.request("GET", f"{page}?set=TestEntry").body == b"TestEntry\n", "an entry is taken")
    space.until(lambda: space.request("GET", page).body == b"TestEntry\n", "the entry is read")
    space.until_pods(6, "app=guestbook")
    for _ in range(6):  # whichever pod answers
        assert space.request("GET", page).body == b"TestEntry\n"
    space.kubectl("delete", "--grace-period=0", "--force", "-f", "-", data=re.sub("(?m)^    ", "", manifest))
    left = ("get", "deploy,rs,pods,svc", "--no-headers", "-o", "name")
    space.until(lambda: not space.kubectl(*left), "all of it is gone")


# Covers: Kubectl, logs.
@EVERY
def test_logs_are_read_in_part(space: Space, version: str) -> None:
    """All options of one container's log; the other ones of `kubectl logs` are asked in test_logs_of_many."""
    words = (
        "i=0; while [ $i -lt 100 ]; do echo /api/v1/namespaces/kube-system/$i; i=$((i+1)); sleep 0.1; done; sleep 60"
    )
    space.kubectl("run", "talker", "--image=busybox", HERE, "--restart=Never", "--", "sh", "-c", words)

    def log(*options: str) -> str:
        return space.kubectl("logs", "talker", *options, program=version)

    space.until_ready("talker")
    space.until(lambda: log("-c", "talker").count("kube-system") > 2, "it has said something")
    assert log("--tail=1").count("\n") == 1 and len(log("--limit-bytes=1")) == 1
    stamp, _, said = log("--tail=1", "--timestamps").rstrip("\n").partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", stamp)
    assert said.startswith("/api/v1/namespaces/kube-system/")
    moment = stamp[:19] + "Z"
    space.until(
        lambda: 0 < len(log("--since=1s").splitlines()) < len(log("--since=24h").splitlines()),
        "what is older than a second is left out",
    )
    later = [line.split(" ")[0] for line in log(f"--since-time={moment}", "--timestamps").splitlines()]
    assert later and later[0] >= moment[:19] and later == sorted(later)
    space.kubectl("delete", "pod", "talker", "--grace-period=0", "--force")


def test_logs_of_many(space: Space) -> None:
    """Prefixes, selections, all containers, all pods of an owner, an earlier life, and what is refused."""
    space.apply("""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          replicas: 2
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              terminationGracePeriodSeconds: 0
              initContainers:
              - {name: first, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, echo of the first]}
              containers:
              - name: one
                image: busybox
                imagePullPolicy: IfNotPresent
                command: [sh, -c, echo of one; exec sleep 600]
              - name: two
                image: busybox
                imagePullPolicy: IfNotPresent
                command: [sh, -c, echo of two >&2; exec sleep 600]
    """)
    space.kubectl(
        *("run", "again", "--image=busybox", HERE, "--restart=OnFailure", "--"),
        *("sh", "-c", "cat /dev/termination-log; [ -e /tmp/x ] || echo a life; sleep 0.2; exit 3"),
    )
    space.until_pods(2, "app=web")
    pods = sorted(one["metadata"]["name"] for one in space.get("pods", "-l", "app=web"))
    both = space.kubectl("logs", "deployment/web", "--all-pods", "--all-containers", "--prefix")
    wanted = [("first", "of the first"), ("one", "of one"), ("two", "of two")]
    assert sorted(both.splitlines()) == sorted(f"[pod/{pod}/{name}] {said}" for pod in pods for name, said in wanted)
    chosen = space.kubectl("logs", "-l", "app=web", "-c", "two", "--prefix", "--tail=-1")
    assert sorted(chosen.splitlines()) == [f"[pod/{pod}/two] of two" for pod in pods]
    every = space.kubectl("logs", pods[0], "--all-containers")
    assert sorted(every.splitlines()) == ["of one", "of the first", "of two"]
    assert space.kubectl("logs", "deployment/web", "-c", "one") == "of one\n"
    assert space.log(pods[0]) == "of one\n"  # the first one, where none is named
    assert "previous terminated container" in space.refusal("logs", pods[0], "-c", "one", "-p")
    assert "container nobody is not valid for pod" in space.refusal("logs", pods[0], "-c", "nobody")
    assert 'pods "nobody" not found' in space.refusal("logs", "nobody")
    space.until(
        lambda: (
            space.kubectl("get", "pod", "again", "-o", "jsonpath={.status.containerStatuses[0].restartCount}") != "0"
        ),
        "again",
    )
    assert space.log("again", "--previous") == "a life\n"


def _run(space: Space, version: str, *words: str, data: bytes = b"", seconds: float = 60) -> tuple[int, str, str]:
    done = subprocess.run(
        [*space.cluster.nodes[0].namespace.enter, program_of(version), "-n", space.name, *words],
        input=data,
        capture_output=True,
        timeout=seconds,
        env=space.cluster.kubectl_environment(),
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@EVERY
def test_a_clients_input_and_a_pods_exit_code(space: Space, version: str) -> None:
    """`run -i` with every way for the input to end, and what kubectl makes of exit codes."""

    def run(name: str, script: str, *options: str, data: bytes = b"", restart: str = "Never") -> tuple[int, str, str]:
        words = ("run", name, "--image=busybox", HERE, f"--restart={restart}", *options, "--", "sh", "-c", script)
        return _run(space, version, *words, data=data)

    code, out, _ = run("whole", "read s; echo read:$s; cat; echo 'stdin closed'", "-i", data=b"value\nabcd1234\n")
    assert code == 0 and out == "read:value\nabcd1234\nstdin closed\n"
    assert space.log("whole") == out
    assert run("fails", "cat; exit 42", "-i", data=b"x")[0] == 42
    code, out, _ = run("removed", "cat; exit 7", "-i", "--rm", data=b"abcd1234\n")
    assert code == 7 and out.startswith("abcd1234\n") and space.is_gone("pods/removed")
    # Without --stdin the input is not the pod's.
    code, out, _ = run("deaf", "sleep 0.3; cat; echo 'stdin closed'", "--attach", data=b"abcd1234")
    assert code == 0 and "abcd1234" not in out and "stdin closed" in out
    # An input for several clients stays open when the first one leaves, and that one does not wait for ever.
    code, out, _ = run("open", "cat; echo 'stdin closed'", "-i", "--leave-stdin-open", data=b"abcd1234\n")
    assert code == 0 and "stdin closed" not in out
    assert _run(space, version, "attach", "-i", "open", data=b"once more\n")[0] == 0
    space.until(lambda: space.log("open") == "abcd1234\nonce more\n", "both were read")
    assert space.phase("open") == "Running"
    assert run("unheard", "exit 42", "-i", "--leave-stdin-open", data=b"abcd1234")[0] == 0


@EVERY
def test_exec_with_inputs_of_many_kinds(space: Space, version: str) -> None:
    space.kubectl("run", "p", "--image=busybox", HERE, "--", "sleep", "600")
    space.until_ready("p")

    def run(*words: str, data: bytes = b"") -> tuple[int, str, str]:
        return _run(space, version, "exec", *words, data=data)

    assert run("p", "--", "echo", "running", "in", "container")[:2] == (0, "running in container\n")
    assert run("pod/p", "--", "echo", "named")[:2] == (0, "named\n")
    assert run("-i", "p", "--", "cat", data=b"abcd1234")[:2] == (0, "abcd1234")
    assert run("p", "--", "cat", data=b"abcd1234")[:2] == (0, "")  # no -i, no input
    large = bytes(range(256)) * 8192
    code, out, _ = run("-i", "p", "--", "sh", "-c", "wc -c", data=large)
    assert code == 0 and out.strip() == str(len(large))
    # What is said after the input was closed is heard, though the rest of the input is still on its way.
    script = "head -c 10; exec 0<&-; sleep 0.5; echo done"
    assert run("-i", "p", "--", "sh", "-c", script, data=large)[1].endswith("done\n")
    assert run("p", "--", "sh", "-c", "exit 42")[0] == 42
    code, out, said = run("p", "--", "sh", "-c", "echo to out; echo to err >&2")
    assert (code, out) == (0, "to out\n") and "to err\n" in said
    # The input stays open while the answer is read, as with a pipe that nobody closes.
    process = subprocess.Popen(
        [*space.cluster.nodes[0].namespace.enter, program_of(version), "-n", space.name, "exec", "-i", "p", "--", "sh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=space.cluster.kubectl_environment(),
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"echo hi\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"hi\n"
    process.stdin.write(b"exit 3\n")
    process.stdin.flush()
    began = time.monotonic()
    assert process.wait(30) == 3 and time.monotonic() - began < 25
    process.stdin.close()


@EVERY
def test_files_are_copied(space: Space, version: str, tmp_path: Path) -> None:
    script = "mkdir -p /root/foo/bar; echo foobar > /root/foo/bar/foo.bar; exec sleep 600"
    space.kubectl("run", "p", "--image=busybox", HERE, "--", "sh", "-c", script)
    space.until_ready("p")
    space.until(lambda: space.shell("p", "ls /root/foo/bar") == "foo.bar\n", "the file is there")
    assert _run(space, version, "cp", "p:/root/foo/bar/foo.bar", str(tmp_path / "got"))[0] == 0
    assert (tmp_path / "got").read_text() == "foobar\n"
    folder = tmp_path / "sent"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "large").write_bytes(bytes(range(256)) * 4096)
    (folder / "a b").write_text("with a blank")
    assert _run(space, version, "cp", str(folder), f"{space.name}/p:/tmp")[0] == 0
    assert space.shell("p", "wc -c < /tmp/sent/deep/large; cat '/tmp/sent/a b'").split("\n", 1) == [
        "1048576",
        "with a blank",
    ]
    assert _run(space, version, "cp", "p:/tmp/sent", str(tmp_path / "back"))[0] == 0
    assert (tmp_path / "back" / "deep" / "large").read_bytes() == (folder / "deep" / "large").read_bytes()
