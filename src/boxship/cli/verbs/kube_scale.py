"""boxship scale: how many replicas there should be."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.cli.kube.config import CONFIG_FLAGS

COMMAND = Command(
    "TYPE NAME... | TYPE/NAME...",
    (
        *CONFIG_FLAGS,
        Flag("--current-replicas int", "Only if there are so many now (-1: any)", -1),
        Flag("--replicas int", "The new number", -1),
        Flag("--resource-version string", "Only if the object is still at this version"),
    ),
    least=1,
    most=None,
)


def run(call: Call) -> int:
    from boxship.cli.kube.naming import named
    from boxship.cli.kube.server import Server

    replicas = call.options.number("replicas")
    if replicas < 0:
        raise Failure("the --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    server = Server(call)
    for each in named(server, call.arguments):
        if "scale" not in each.kind.subresources or not each.name:
            raise Failure(f"cannot scale {each.kind.shown(each.name)}: it has no replicas")
        path = each.kind.path(server.namespace, each.name, "scale")
        scale = server.ask("GET", path)
        wanted, version = call.options.number("current-replicas"), call.options.text("resource-version")
        now = int(scale.get("spec", {}).get("replicas") or 0)
        if wanted not in (-1, now):
            raise Failure(f"Expected replicas to be {wanted}, was {now}")
        if version not in ("", scale["metadata"].get("resourceVersion")):
            raise Failure(f"Expected resource version to be {version}, was {scale['metadata'].get('resourceVersion')}")
        scale.setdefault("spec", {})["replicas"] = replicas
        if wanted == -1 and not version:
            scale["metadata"].pop("resourceVersion", None)  # whatever happened in between
        server.ask("PUT", path, {"fieldManager": "boxship"}, scale)
        call.line(f"{each.kind.shown(each.name)} scaled")
    return 0
