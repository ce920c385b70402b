"""Boxship's own endpoints for the signatures of images, at the door."""

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from doors_fake import Desk

from boxship.errors import Exhausted, Invalid, NotFound

NAME = "r.io:5000/prod/web:1"
PATH = f"/boxship/images/{NAME}/signatures"


class Signing:
    """The engine's side."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.error: Exception | None = None

    async def signed(self, name: str) -> Any:
        if name != NAME:
            raise NotFound(f"No such image: {name}")
        entry = SimpleNamespace(payload=b"\x00{}", signature="MEU=")
        return SimpleNamespace(
            reference="r.io:5000/prod/web", digest="sha256:1", digests=("sha256:1",), signatures=(entry,)
        )

    async def sign(self, name: str, payload: bytes, signature: str) -> str:
        if self.error is not None:
            raise self.error
        self.asked.append((name, payload, signature))
        return "sha256:9"

    async def push_signatures(self, name: str, credentials: Any) -> int:
        self.asked.append((name, credentials.username if credentials else None))
        return 3


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.engine.images = Signing()  # type: ignore[assignment]
    return desk


async def test_signatures_are_listed(desk: Desk) -> None:
    assert await desk.json("GET", PATH) == {
        "Reference": "r.io:5000/prod/web",
        "Digest": "sha256:1",
        "Digests": ["sha256:1"],
        "Signatures": [{"Payload": base64.b64encode(b"\x00{}").decode(), "Signature": "MEU="}],
    }
    assert (await desk.ask("GET", "/boxship/images/other/signatures")).status == 404


async def test_a_signature_is_taken_and_pushed_where_asked(desk: Desk) -> None:
    body = {"Payload": base64.b64encode(b"text").decode(), "Signature": "MEU="}
    assert await desk.json("POST", PATH, body) == {"Digest": "sha256:9", "Pushed": 0}
    who = base64.urlsafe_b64encode(b'{"username":"alice","password":"x"}').decode()
    answer = await desk.ask("POST", f"{PATH}?push=1", body, {"X-Registry-Auth": who})
    assert answer.status == 201
    images: Any = desk.engine.images
    assert images.asked == [(NAME, b"text", "MEU="), (NAME, b"text", "MEU="), (NAME, "alice")]


@pytest.mark.parametrize(
    "body",
    [{}, {"Payload": "eA=="}, {"Signature": "x"}, {"Payload": "!", "Signature": "x"}, b"no json", {"Payload": 5}],
)
async def test_what_is_no_signature_is_refused(desk: Desk, body: Any) -> None:
    assert (await desk.ask("POST", PATH, body)).status == 400
    images: Any = desk.engine.images
    assert not images.asked


@pytest.mark.parametrize(("error", "status"), [(Invalid("cannot"), 400), (NotFound("x"), 404), (Exhausted("y"), 500)])
async def test_kinds_of_error_have_their_status(desk: Desk, error: Exception, status: int) -> None:
    images: Any = desk.engine.images
    images.error = error
    body = {"Payload": "eA==", "Signature": "MEU="}
    assert (await desk.ask("POST", PATH, body)).status == status
