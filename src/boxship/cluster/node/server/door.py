"""Which path of the node is answered by whom. Refusals are plain text with the original's words: API servers and
people read them. It must never answer anybody whom `entry` has not let in, but for its health."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from boxship import errors
from boxship.cluster.node.runtime import RUNNING, Runtime
from boxship.cluster.node.server import PodsHere
from boxship.cluster.node.server.entry import Entry
from boxship.cluster.node.server.figures import Figures, MeasuredVolumes, Unmeasured
from boxship.cluster.node.server.following import Ending
from boxship.cluster.node.server.idle import IDLE_SECONDS
from boxship.cluster.node.server.images import ImageDoor, Nothing, SharedImages
from boxship.cluster.node.server.joining import Joining
from boxship.cluster.node.server.logs import container_to_read, log_lines
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.log_options import read_log_options
from boxship.transport.exchange import Limits, Reply, Request

log = logging.getLogger("boxshipd")

NODE_LIMITS = Limits(
    head_bytes=64 * 1024,
    connections=8192,
    idle_seconds=90.0,
    first_seconds=15.0,
    body_stall_seconds=30.0,
    inflates=False,
)
TEXT, JSON = "text/plain; charset=utf-8", "application/json"
STALL_SECONDS = 4 * 3600.0  # a reader of a log that takes nothing for so long is cut off
TABLE: tuple[tuple[type[errors.BoxshipError], int], ...] = (
    (errors.NotFound, 404),
    (errors.Invalid, 400),
    (errors.Denied, 403),
    (errors.Unauthenticated, 401),
    (errors.Unsupported, 501),
    (errors.Unavailable, 503),
)
Answers = Callable[[Request, list[str]], Awaitable[Reply | None]]


class NodeDoor:
    """`handle` is a transport handler. `name` is the node's, `images` what other nodes may have, `configuration` what
    is told of how the node does its work."""

    def __init__(
        self,
        runtime: Runtime,
        pods: PodsHere,
        entry: Entry,
        name: str,
        images: SharedImages | None = None,
        volumes: MeasuredVolumes | None = None,
        *,
        configuration: Object | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._runtime = runtime
        self._configuration = configuration or {}
        self._pods = pods
        self._entry = entry
        self._figures = Figures(runtime, pods, name, volumes or Unmeasured())
        joining = Joining(runtime, pods, idle_seconds)
        self._handlers: Mapping[str, tuple[tuple[str, ...], Answers]] = {
            "containerLogs": (("GET",), self._log),
            "exec": (("GET", "POST"), joining.execute),
            "attach": (("GET", "POST"), joining.attach),
            "portForward": (("GET", "POST"), joining.forward),
            "run": (("POST",), self._run),
            "pods": (("GET",), self._list),
            "runningpods": (("GET",), self._list_running),
            "healthz": (("GET",), self._health),
            "configz": (("GET",), self._config),
            "stats": (("GET",), self._figures.stats),
            "metrics": (("GET",), self._figures.metrics),
            "logs": (("GET",), self._no_logs),
            "images": (("GET",), ImageDoor(images or Nothing()).answer),
        }

    async def handle(self, request: Request) -> Reply | None:
        """Answer one request. Nothing but cancellation leaves this function as an exception."""
        words = request.path.strip("/").split("/")
        method = "GET" if request.method == "HEAD" else request.method
        try:
            if words != ["healthz"]:
                await self._entry.admit(request)
                await self._pods.ready()
            methods, handler = self._handlers.get(words[0], ((), None))
            if handler is None:
                return _plain(404, "404 page not found")
            if method not in methods:
                return _plain(405, "405: Method Not Allowed")
            reply = await handler(request, words[1:])
        except errors.BoxshipError as error:
            if isinstance(error, errors.Canceled):
                raise
            return _plain(_code(error), str(error))
        except Exception as error:  # the border of a request
            log.error("%s %s failed", request.method, request.shown, exc_info=error)
            return _plain(500, "an unexpected error; the log of boxshipd has it")
        if reply is not None and request.method == "HEAD":
            return Reply(reply.status, reply.headers)
        return reply

    async def _log(self, request: Request, words: list[str]) -> Reply:
        if len(words) != 3:
            return _plain(404, "404 page not found")
        namespace, name, container = words
        options = read_log_options(request.query, time.time_ns())
        pod = self._pods.find(namespace, name)
        if pod is None:
            return _plain(404, f'pod "{name}" does not exist')
        containers = await self._runtime.containers(pod["metadata"]["uid"])
        found = container_to_read(pod, container, previous=options.previous, containers=containers)
        if not found.log_path:
            return _plain(400, f'container "{container}" in pod "{name}" is waiting to start - no logs yet')
        if not options.follow:
            return Reply(200, {"Content-Type": "text/plain"}, log_lines(found.log_path, options, lambda: True), 60.0)
        ending = Ending(self._runtime, found)
        lines = ending.until(log_lines(found.log_path, options, lambda: ending.ended))
        return Reply(200, {"Content-Type": "text/plain"}, lines, STALL_SECONDS)

    async def _run(self, request: Request, words: list[str]) -> Reply:
        """A command in a container, with its output as the answer."""
        if len(words) not in (3, 4):
            return _plain(404, "404 page not found")
        namespace, name, container = words[0], words[1], words[-1]
        pod = self._pods.find(namespace, name)
        if pod is None:
            return _plain(404, "pod does not exist")
        command = (request.query.get("cmd") or [""])[0].split(" ")
        for each in await self._runtime.containers(pod["metadata"]["uid"]):
            if each.name == container and each.phase == RUNNING:
                _, output = await self._runtime.run(each.id, command, timeout=60.0)
                return Reply(200, {"Content-Type": "text/plain"}, output)
        return _plain(404, f'container not found ("{container}")')

    async def _list(self, request: Request, words: list[str]) -> Reply:
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(self._pods.all())})

    async def _list_running(self, request: Request, words: list[str]) -> Reply:
        """Those of which a container runs."""
        running = {each.uid for each in await self._runtime.containers() if each.phase == RUNNING}
        items = [pod for pod in self._pods.all() if pod["metadata"].get("uid") in running]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _health(self, request: Request, words: list[str]) -> Reply:
        return _plain(200, "ok", newline=False)

    async def _config(self, request: Request, words: list[str]) -> Reply:
        return _json({"kubeletconfig": self._configuration})

    async def _no_logs(self, request: Request, words: list[str]) -> Reply:
        """With the code of a kubelet that is told to show none, and as an object, so that clients show the text."""
        refusal = Failure(405, "MethodNotAllowed", "unsupported: logs of the machine")
        return Reply(405, {"Content-Type": JSON}, msgspec.json.encode(refusal.status()))


def _code(error: errors.BoxshipError) -> int:
    if isinstance(error, Failure):
        return error.code
    return next((code for kind, code in TABLE if isinstance(error, kind)), 500)


def _plain(code: int, text: str, *, newline: bool = False) -> Reply:
    return Reply(code, {"Content-Type": TEXT}, (text + ("\n" if newline else "")).encode())


def _json(value: Object) -> Reply:
    return Reply(200, {"Content-Type": JSON}, msgspec.json.encode(value))
