"""What the agent's server asks the API before it lets somebody in: which verb on which part of its node."""

import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from boxship.cluster.node.server.entry import Entry
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.pki.cluster import open_authority


class Reviews:
    """An API that knows one token, and remembers what it was asked."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[str] = []

    async def create(self, resource: str, namespace: str, object: Object, **_: object) -> Object:
        if resource.endswith("tokenreviews"):
            return {"status": {"authenticated": object["spec"]["token"] == "good", "user": {"username": "joe"}}}
        about = object["spec"]["resourceAttributes"]
        self.asked.append(f"{about['verb']} {about['subresource']}")
        return {"status": {"allowed": self.asked[-1] in self.allowed}}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder: Path = tmp_path_factory.mktemp("entry")
    return open_authority(folder / "pki", ["127.0.0.1"], datetime.datetime.now(datetime.UTC)).ca_pem


def request(method: str, path: str, token: str = "good") -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return SimpleNamespace(method=method, path=path, certificate=None, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/pods", "get pods"),
        ("GET", "/runningpods/", "get pods"),
        ("GET", "/healthz/ping", "get healthz"),
        ("GET", "/configz", "get configz"),
        ("GET", "/stats/summary", "get stats"),
        ("GET", "/logs/", "get log"),
        ("GET", "/metrics/resource", "get metrics"),
        ("GET", "/containerLogs/default/pod/web", "get proxy"),
        ("POST", "/run/default/pod/web", "create proxy"),
        ("GET", "/exec/default/pod/web", "create proxy"),  # a WebSocket
        ("GET", "/attach/default/pod/web", "create proxy"),
        ("GET", "/portForward/default/pod", "create proxy"),
    ],
)
async def test_what_begins_something_takes_the_right_to_create(
    authority: bytes, method: str, path: str, asked: str
) -> None:
    reviews = Reviews(asked)
    entry = Entry(reviews, authority, "node1")  # type: ignore[arg-type]
    assert (await entry.admit(request(method, path))).name == "joe"
    assert reviews.asked == [asked]
    verb, part = asked.split()
    other = Reviews(f"{'get' if verb == 'create' else 'create'} {part}")
    others = Entry(other, authority, "node1")  # type: ignore[arg-type]
    with pytest.raises(Failure, match="Forbidden"):
        await others.admit(request(method, path))


@pytest.mark.parametrize(("path", "part"), [("/pods", "pods"), ("/runningpods/", "pods"), ("/configz", "configz")])
async def test_the_right_to_all_of_a_node_holds_for_what_has_a_name_of_its_own(
    authority: bytes, path: str, part: str
) -> None:
    reviews = Reviews("get proxy")
    await Entry(reviews, authority, "node1").admit(request("GET", path))  # type: ignore[arg-type]
    assert reviews.asked == [f"get {part}", "get proxy"]


@pytest.mark.parametrize("path", ["/stats/summary", "/metrics", "/logs/", "/images/find", "/pods"])
async def test_it_is_not_the_right_to_what_was_always_asked_for_alone(authority: bytes, path: str) -> None:
    reviews = Reviews("get proxy" if path != "/pods" else "get healthz")
    with pytest.raises(Failure) as refused:
        await Entry(reviews, authority, "node1").admit(request("GET", path))  # type: ignore[arg-type]
    parts = " ".join(each.removeprefix("get ") for each in reviews.asked)
    assert str(refused.value) == f"Forbidden (user=joe, verb=get, resource=nodes, subresource(s)=[{parts}])"


async def test_who_is_not_known_is_asked_for_nothing(authority: bytes) -> None:
    reviews = Reviews()
    with pytest.raises(Failure) as refused:
        await Entry(reviews, authority, "node1").admit(request("GET", "/pods", token="bad"))  # type: ignore[arg-type]
    assert refused.value.code == 401 and not reviews.asked
