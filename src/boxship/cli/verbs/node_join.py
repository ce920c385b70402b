"""boxship node join: make this machine a node of a cluster."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "SERVER",
    (
        Flag("--address string", "The node's own address (default: what its packets to the server carry)"),
        Flag("--ca-hash string", "Hash of the key of the cluster's authority: sha256:…"),
        Flag("--certificate-life duration", "How long the node's certificates hold (default: what the cluster gives)"),
        Flag("--label list", "Label of the node: key=value"),
        Flag("--node-name string", "Name of the node (default: the machine's)"),
        Flag("-q, --quiet", "Print nothing"),
        Flag("--taint list", "Taint of the node: key[=value]:effect"),
        Flag("--token string", "Token that the cluster knows: abcdef.0123456789abcdef"),
    ),
    least=1,
    most=1,
    details="SERVER is https://HOST:PORT. On a machine of the control plane, boxship cluster token prints all of this.",
)


def run(call: Call) -> int:
    options = call.options
    for name in ("token", "ca-hash"):
        if not options.text(name):
            raise Failure(f"--{name} is needed: boxship cluster token prints the whole line")
    labels = {}
    for text in options.texts("label"):
        key, separator, value = text.partition("=")
        if not separator:
            raise Failure(f"cannot use label {text}: write key=value")
        labels[key] = value
    server = call.arguments[0].rstrip("/")
    body = {
        "Server": server if "://" in server else f"https://{server}",
        "Token": options.text("token"),
        "CAHash": options.text("ca-hash"),
        "NodeName": options.text("node-name"),
        "Address": options.text("address"),
        "Labels": labels,
        "Taints": options.texts("taint"),
        "CertificateSeconds": options.number("certificate-life") // 1_000_000_000,
    }
    state = call.daemon.post("/boxship/node", body=body)
    if not options.on("quiet"):
        call.line(f"this machine is node {state['NodeName']} of {state['Server']}")
    return 0
