"""The pod that a word means: "pod/web", or one that "deployment/web" or "service/web" selects; and its logs."""

from __future__ import annotations

import sys

from boxship.cli.call import Call, Failure
from boxship.cli.kube.naming import named
from boxship.cli.kube.server import Server
from boxship.cli.times import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
else:
    Object = dict


def find_pod(server: Server, word: str) -> str:
    """The pod's name. Raises Failure."""
    (wanted,) = named(server, [word])
    if wanted.kind.qualified == "pods":
        return wanted.name
    made = server.ask("GET", wanted.kind.path(server.namespace, wanted.name))
    selector = made.get("spec", {}).get("selector") or {}
    labels = selector.get("matchLabels", selector if made["kind"] in ("Service", "ReplicationController") else None)
    if not labels:
        raise Failure(f"cannot find pods of {wanted.kind.shown(wanted.name)}: it selects none by labels")
    query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
    pods = server.ask("GET", server.kind("pods").path(server.namespace), query).get("items") or []
    if not pods:
        raise Failure(f"{wanted.kind.shown(wanted.name)} has no pods")
    ready = sorted(pods, key=lambda pod: (pod.get("status", {}).get("phase") != "Running", pod["metadata"]["name"]))
    return str(ready[0]["metadata"]["name"])


def show_logs(call: Call) -> int:
    """Print what a container of a pod wrote, as the API has it."""
    options = call.options
    if options.text("until") or options.on("details"):
        raise Failure("unsupported: --until and --details for pods")
    server = Server(call)
    pod = find_pod(server, call.arguments[0])
    tail = options.text("tail")
    query: Object = {
        "container": options.text("container"),
        "follow": options.on("follow"),
        "previous": options.on("previous"),
        "timestamps": options.on("timestamps"),
        "tailLines": "" if tail == "all" else tail,
    }
    if options.text("since"):
        seconds = timestamp(options.text("since")).partition(".")[0]
        from datetime import UTC, datetime

        query["sinceTime"] = datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = server.kind("pods").path(server.namespace, pod, "log")
    for piece in server.open("GET", path, query, accept="*/*").pieces():
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    return 0
