"""What a client asks of a connection: PodExecOptions and the like, read from a query and checked as the original does.

Pure. `query` has all values of each parameter. Sources: the API reference of these kinds; k8s.io/kubernetes,
registry/core/pod (texts).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import bad_request

Query = Mapping[str, Sequence[str]]
FLAGS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}  # the API's word → the node's


def flag(query: Query, name: str, default: bool = False) -> bool:
    """A parameter without value, or "false" or "0", says no."""
    values = query.get(name)
    return default if not values else values[0].lower() not in ("", "false", "0")


def text(query: Query, name: str) -> str:
    return (query.get(name) or [""])[0]


def options_of(subresource: str, kind: str, query: Query, rest: str) -> Object:
    """The options as an object, which admission looks at."""
    found: dict[str, Any] = {"kind": kind, "apiVersion": "v1"}
    if subresource == "proxy":
        if rest:
            found["path"] = rest
        return found
    if subresource == "portforward":
        ports = [part for value in query.get("ports") or () for part in value.split(",") if part]
        for part in ports:
            if not (part.isascii() and part.isdigit()):
                raise bad_request(f'strconv.ParseInt: parsing "{part[:32]}": invalid syntax')
        if ports:
            found["ports"] = [int(part) for part in ports]
        return found
    for name in FLAGS:
        if flag(query, name):
            found[name] = True
    if query.get("container"):
        found["container"] = text(query, "container")
    if subresource == "exec":
        found["command"] = list(query.get("command") or ())
    return found


def node_query(subresource: str, options: Object) -> str:
    """The same in the node's words, with "?" where there is any."""
    if subresource == "portforward":
        ports = options.get("ports") or ()
        pairs = [("port", ",".join(str(port) for port in ports))] if ports else []
    else:
        pairs = [(word, "1") for name, word in FLAGS.items() if options.get(name)]
        pairs += [("command", part) for part in options.get("command") or ()]
    return f"?{urlencode(pairs)}" if pairs else ""


def container_of(pod: Object, asked: str, *, logs: bool = False) -> str:
    """The container that is meant. Raises Failure 400 with the original's words."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    own = [each["name"] for each in spec.get("containers") or ()]
    first = [each["name"] for each in spec.get("initContainers") or ()]
    later = [each["name"] for each in spec.get("ephemeralContainers") or ()]
    if asked:
        if asked not in (*own, *first, *later):
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if len(own) == 1:
        return str(own[0])
    if not own:
        raise bad_request(f"a container name must be specified for pod {name}")
    if default in own and not logs:
        return str(default)
    why = f"a container name must be specified for pod {name}, choose one of: [{' '.join(own)}]"
    if first:
        why += f" or one of the init containers: [{' '.join(first)}]"
    raise bad_request(why)
