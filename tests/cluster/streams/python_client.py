"""What the stock Python client does with streams; run as a program: POD PORT."""

import sys

from kubernetes import client, config
from kubernetes.stream import portforward, stream

config.load_kube_config()
api = client.CoreV1Api()
pod, port = sys.argv[1], int(sys.argv[2])
command = ["sh", "-c", "echo out; echo err >&2"]
said = stream(
    api.connect_get_namespaced_pod_exec,
    pod,
    "default",
    command=command,
    stderr=True,
    stdin=False,
    stdout=True,
    tty=False,
)
assert sorted(said.split()) == ["err", "out"], said
shell = stream(
    api.connect_get_namespaced_pod_exec,
    pod,
    "default",
    command=["sh"],
    stderr=True,
    stdin=True,
    stdout=True,
    tty=False,
    _preload_content=False,
)
shell.write_stdin("echo one; exit 6\n")
shell.run_forever(timeout=10)
assert shell.read_stdout() == "one\n"
assert shell.returncode == 6
forward = portforward(api.connect_get_namespaced_pod_portforward, pod, "default", ports=f"{port},1")
there = forward.socket(port)
there.setblocking(True)
there.sendall(b"hello\n")
assert there.recv(100) == b"got hello\n"
there.close()
while forward.error(1) is None:
    forward.socket(1).setblocking(True)
assert "refused" in forward.error(1)
print("all well")
