"""Swarm, services, nodes, tasks, secrets, configs and plugins, as an engine answers that is in no swarm and has no
plugins; and the upgrades of BuildKit that Boxship does not have."""

from boxship.doors.docker.call import Call, reply
from boxship.doors.docker.errors import message_reply, missing
from boxship.doors.docker.filters import parse_filters
from boxship.doors.docker.router import Route
from boxship.errors import NotFound
from boxship.transport.exchange import Reply

NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
NO_SWARM = "This node is not part of a swarm"


async def no_manager(call: Call) -> Reply:
    return message_reply(503, NO_MANAGER)


async def no_swarm(call: Call) -> Reply:
    return message_reply(503, NO_SWARM)


async def swarm_later(call: Call) -> Reply:
    return missing("This version of Boxship does not form swarms yet.")


async def no_plugins(call: Call) -> Reply:
    parse_filters(call.text("filters"), ("capability", "enable"))
    return reply([])


async def no_such_plugin(call: Call) -> Reply:
    raise NotFound(f'plugin "{call.id}" not found')


async def no_plugin_service(call: Call) -> Reply:
    return missing("Boxship does not run plugins.")


async def no_session(call: Call) -> Reply:
    return missing("This version of Boxship does not build images yet: there is no BuildKit session.")


MANAGER = (
    ("GET", "/swarm"),
    ("POST", "/swarm/update"),
    ("GET", "/swarm/unlockkey"),
    ("POST", "/swarm/unlock"),
    ("GET", "/services"),
    ("POST", "/services/create"),
    ("GET", "/services/{id}"),
    ("DELETE", "/services/{id}"),
    ("POST", "/services/{id}/update"),
    ("GET", "/services/{id}/logs"),
    ("GET", "/nodes"),
    ("GET", "/nodes/{id}"),
    ("DELETE", "/nodes/{id}"),
    ("POST", "/nodes/{id}/update"),
    ("GET", "/tasks"),
    ("GET", "/tasks/{id}"),
    ("GET", "/tasks/{id}/logs"),
    ("GET", "/secrets"),
    ("POST", "/secrets/create"),
    ("GET", "/secrets/{id}"),
    ("DELETE", "/secrets/{id}"),
    ("POST", "/secrets/{id}/update"),
    ("GET", "/configs"),
    ("POST", "/configs/create"),
    ("GET", "/configs/{id}"),
    ("DELETE", "/configs/{id}"),
    ("POST", "/configs/{id}/update"),
    ("PUT", "/volumes/{id}"),  # cluster volumes
)

ROUTES = (
    *(Route(method, pattern, no_manager) for method, pattern in MANAGER),
    Route("POST", "/swarm/leave", no_swarm),
    Route("POST", "/swarm/init", swarm_later),
    Route("POST", "/swarm/join", swarm_later),
    Route("GET", "/plugins", no_plugins, query=("filters",)),
    Route("GET", "/plugins/privileges", no_plugin_service),
    Route("POST", "/plugins/pull", no_plugin_service),
    Route("POST", "/plugins/create", no_plugin_service),
    Route("GET", "/plugins/{id*}/json", no_such_plugin),
    Route("POST", "/plugins/{id*}/enable", no_such_plugin),
    Route("POST", "/plugins/{id*}/disable", no_such_plugin),
    Route("POST", "/plugins/{id*}/upgrade", no_such_plugin),
    Route("POST", "/plugins/{id*}/push", no_such_plugin),
    Route("POST", "/plugins/{id*}/set", no_such_plugin),
    Route("DELETE", "/plugins/{id*}", no_such_plugin),
    Route("POST", "/session", no_session),
    Route("POST", "/grpc", no_session),
)
