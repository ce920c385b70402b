"""boxship describe: one object, or several, told in full, with their events."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.cli.kube.config import CONFIG_FLAGS

COMMAND = Command(
    "TYPE [NAME...] | TYPE/NAME...",
    (
        *CONFIG_FLAGS,
        Flag("-A, --all-namespaces", "In all namespaces"),
        Flag("-l, --selector string", "Only what has these labels"),
        Flag("--show-events", "Show the events about it", True),
    ),
    least=1,
    most=None,
)


def run(call: Call) -> int:
    from boxship.cli.kube.describing import describe
    from boxship.cli.kube.naming import named
    from boxship.cli.kube.server import Server

    server = Server(call)
    told = []
    for each in named(server, call.arguments):
        namespace = "" if call.options.on("all-namespaces") else server.namespace
        if each.name:
            found = [server.ask("GET", each.kind.path(namespace or server.namespace, each.name))]
        else:
            query = {"labelSelector": call.options.text("selector")}
            listed = server.ask("GET", each.kind.path(namespace), query)
            version, kind = listed["apiVersion"], listed["kind"].removesuffix("List")
            found = [{"apiVersion": version, "kind": kind, **item} for item in listed.get("items") or []]
        for made in found:
            told.append(describe(made, _events(server, made) if call.options.on("show-events") else None))
    if not told:
        call.warn("No resources found")
    call.write("\n\n".join(told))
    return 0


def _events(server: object, made: dict[str, object]) -> list[dict[str, object]]:
    from boxship.cli.kube.happening import terms_of
    from boxship.cli.kube.server import Server

    assert isinstance(server, Server)
    metadata = made["metadata"]
    assert isinstance(metadata, dict)
    path = server.kind("events").path(str(metadata.get("namespace") or "default"))
    found: list[dict[str, object]] = server.ask("GET", path, {"fieldSelector": terms_of(made)}).get("items") or []
    return found
