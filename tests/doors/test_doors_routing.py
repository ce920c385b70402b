"""Paths, methods, versions, headers and errors of the Docker door, in memory."""

import pytest
from doors_fake import Desk

from boxship.doors.docker.door import ROUTES
from boxship.doors.docker.router import Router

# Every endpoint of the public reference (API 1.24 to 1.51) with the query parameters that it documents.
REFERENCE = """
GET /containers/json all limit size filters
POST /containers/create name platform
GET /containers/abc/json size
GET /containers/abc/top ps_args
GET /containers/abc/logs follow stdout stderr since until timestamps tail details
GET /containers/abc/changes
GET /containers/abc/export
GET /containers/abc/stats stream one-shot
POST /containers/abc/resize h w
POST /containers/abc/start detachKeys checkpoint checkpoint-dir
POST /containers/abc/stop signal t
POST /containers/abc/restart signal t
POST /containers/abc/kill signal
POST /containers/abc/update
POST /containers/abc/rename name
POST /containers/abc/pause
POST /containers/abc/unpause
POST /containers/abc/attach detachKeys logs stream stdin stdout stderr
GET /containers/abc/attach/ws detachKeys logs stream stdin stdout stderr
POST /containers/abc/wait condition
DELETE /containers/abc v force link
DELETE /containers/abc/alias v force link
HEAD /containers/abc/archive path
GET /containers/abc/archive path
PUT /containers/abc/archive path noOverwriteDirNonDir copyUIDGID
POST /containers/prune filters
GET /images/json all filters shared-size digests manifests
POST /build dockerfile t extrahosts remote q nocache cachefrom pull rm forcerm memory
POST /build memswap cpushares cpusetcpus cpuperiod cpuquota buildargs shmsize squash labels networkmode platform
POST /build target outputs version
POST /build/prune keep-storage reserved-space max-used-space min-free-space all filters
POST /images/create fromImage fromSrc repo tag message changes platform
GET /images/127.0.0.1:5000/a/b:tag/json manifests platform
GET /images/a/b/history platform
POST /images/a/b/push
POST /images/a/b/tag repo tag
DELETE /images/127.0.0.1:5000/a/b:tag force noprune platforms
GET /images/search
POST /images/prune filters
POST /auth
GET /info
GET /version
GET /_ping
HEAD /_ping
POST /commit container repo tag comment author pause changes
GET /events since until filters
GET /system/df type
GET /images/a/b:c/get platform
GET /images/get names platform
POST /images/load quiet platform
POST /containers/abc/exec
POST /exec/abc/start
POST /exec/abc/resize h w
GET /exec/abc/json
GET /volumes filters
POST /volumes/create
GET /volumes/abc
PUT /volumes/abc
DELETE /volumes/abc force
POST /volumes/prune filters
GET /networks filters
GET /networks/abc verbose scope
DELETE /networks/abc
POST /networks/create
POST /networks/abc/connect
POST /networks/abc/disconnect
POST /networks/prune filters
GET /plugins filters
GET /plugins/privileges
POST /plugins/pull
GET /plugins/a/b:c/json
DELETE /plugins/a/b:c
POST /plugins/a/b:c/enable
POST /plugins/a/b:c/disable
POST /plugins/a/b:c/upgrade
POST /plugins/create
POST /plugins/a/b:c/push
POST /plugins/a/b:c/set
GET /nodes
GET /nodes/abc
DELETE /nodes/abc
POST /nodes/abc/update
GET /swarm
POST /swarm/init
POST /swarm/join
POST /swarm/leave
POST /swarm/update
GET /swarm/unlockkey
POST /swarm/unlock
GET /services
POST /services/create
GET /services/abc
DELETE /services/abc
POST /services/abc/update
GET /services/abc/logs
GET /tasks
GET /tasks/abc
GET /tasks/abc/logs
GET /secrets
POST /secrets/create
GET /secrets/abc
DELETE /secrets/abc
POST /secrets/abc/update
GET /configs
POST /configs/create
GET /configs/abc
DELETE /configs/abc
POST /configs/abc/update
GET /distribution/a/b:c/json
POST /session
POST /grpc
POST /build/cancel id
"""
ENDPOINTS = [line.split() for line in REFERENCE.strip().splitlines()]


@pytest.mark.parametrize(("method", "path"), [(row[0], row[1]) for row in ENDPOINTS])
def test_every_endpoint_of_the_reference_is_routed(method: str, path: str) -> None:
    assert Router(ROUTES).find(method, path, (1, 51)) is not None


@pytest.mark.parametrize("row", [row for row in ENDPOINTS if len(row) > 2])
def test_every_documented_parameter_is_honoured_or_refused(row: list[str]) -> None:
    found = Router(ROUTES).find(row[0], row[1], (1, 51))
    assert found is not None
    assert set(row[2:]) <= {*found[0].query, *found[0].refused}


def test_no_route_is_outside_the_reference() -> None:
    router = Router(ROUTES)
    used = {id(found[0]) for row in ENDPOINTS if (found := router.find(row[0], row[1], (1, 51)))}
    extra = [f"{route.method} {route.pattern}" for route in ROUTES if id(route) not in used]
    assert [line for line in extra if " /boxship/" not in line] == ["GET /networks/"]


def test_greedy_names_leave_what_follows() -> None:
    found = Router(ROUTES).find("GET", "/images/127.0.0.1:5000/a/b:tag/json", (1, 51))
    assert found is not None and found[1] == {"id": "127.0.0.1:5000/a/b:tag"}


@pytest.mark.parametrize("prefix", ["", "/v1.24", "/v1.43", "/v1.51"])
async def test_ping_carries_its_headers_with_and_without_a_version(prefix: str) -> None:
    async with Desk() as desk:
        for method, body in (("GET", b"OK"), ("HEAD", b"")):
            answer = await desk.ask(method, f"{prefix}/_ping")
            assert (answer.status, await answer.read()) == (200, body)
            assert answer.headers["Api-Version"] == "1.51"
            assert answer.headers["Builder-Version"] == "1"
            assert answer.headers["Ostype"] == "linux"
            assert answer.headers["Swarm"] == "inactive"
            assert answer.headers["Docker-Experimental"] == "false"
            assert "no-store" in answer.headers["Cache-Control"]
            assert answer.headers["Server"].endswith("(linux)")


async def test_versions_outside_the_range_are_refused() -> None:
    async with Desk() as desk:
        assert await desk.error("GET", "/v1.99/info") == (
            400,
            "client version 1.99 is too new. Maximum supported API version is 1.51",
        )
        for old in ("1.23", "1.12", "1", "0.9", "1.2.3", "."):
            answer = await desk.ask("GET", f"/v{old}/_ping")
            assert answer.status == 400 and answer.headers["Content-Type"].startswith("text/plain")
            assert b"is too old. Minimum supported API version is 1.24" in await answer.read()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/containers/json"),
        ("GET", "/containers/abc/start"),
        ("DELETE", "/_ping"),
        ("GET", "/"),
        ("GET", "//"),
        ("GET", "/nothing"),
        ("GET", "/vX/_ping"),
        ("GET", "/v1.40"),
        ("POST", "/v1.24/containers/prune"),
        ("OPTIONS", "*"),
    ],
)
async def test_what_is_no_route_is_not_found(method: str, path: str) -> None:
    async with Desk() as desk:
        assert await desk.error(method, path) == (404, "page not found")


async def test_kinds_of_error_have_their_status() -> None:
    async with Desk() as desk:
        await desk.json("POST", "/containers/create?name=one", {"Image": "x"})
        assert await desk.error("GET", "/containers/none/json") == (404, "No such container: none")
        status, text = await desk.error("POST", "/containers/create?name=one", {"Image": "x"})
        assert status == 409 and text.startswith('Conflict. The container name "/one" is already in use')
        assert (await desk.error("POST", "/containers/one/kill"))[0] == 409
        assert await desk.error("POST", "/containers/one/pause") == (500, "internal error: nobody foresaw this")
        assert (await desk.error("POST", "/containers/one/unpause"))[0] == 500
        assert (await desk.error("POST", "/images/create"))[0] == 400
        assert (await desk.error("GET", "/nodes"))[0] == 503
        assert (await desk.error("POST", "/containers/one/start?checkpoint=x")) == (
            400,
            "unsupported: query parameter checkpoint",
        )
        assert (await desk.error("GET", "/images/json?manifests=1"))[0] == 400
        await desk.json("GET", "/images/json?manifests=0")


async def test_content_type_and_json_errors() -> None:
    async with Desk() as desk:
        answer = await desk.ask("POST", "/containers/create", b"{}", {"Content-Type": "text/plain"})
        assert answer.status == 400
        assert b"unsupported Content-Type header (text/plain): must be 'application/json'" in await answer.read()
        for body, text in (
            (b"", "invalid JSON: got EOF while reading request body"),
            (b"{", "invalid JSON: "),
            (b"nonsense", "invalid JSON: "),
            (b"[]", "invalid JSON: json: cannot unmarshal array"),
            (b'{"Image":"x"}{}', "invalid JSON: "),
            (b"[" * 100_000, "invalid JSON: "),
            (b'{"Image":"\xff"}', "invalid JSON: "),
        ):
            status, message = await desk.error("POST", "/containers/create", body)
            assert status == 400 and message.startswith(text), message
        status, message = await desk.error("POST", "/containers/create", b" " * (5 << 20))
        assert status == 400 and "larger than" in message


async def test_an_engine_without_swarm_and_plugins() -> None:
    async with Desk() as desk:
        for path in ("/swarm", "/services", "/nodes", "/tasks", "/secrets", "/configs"):
            status, text = await desk.error("GET", path)
            assert status == 503 and text.startswith("This node is not a swarm manager. Use")
        assert await desk.error("POST", "/swarm/leave") == (503, "This node is not part of a swarm")
        assert await desk.json("GET", "/plugins") == []
        assert await desk.error("GET", "/plugins/a/b:c/json") == (404, 'plugin "a/b:c" not found')
        for path in ("/session", "/grpc"):
            assert (await desk.error("POST", path))[0] == 501
        assert await desk.json("POST", "/build/prune") == {"CachesDeleted": None, "SpaceReclaimed": 0}
