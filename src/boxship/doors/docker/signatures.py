"""Signatures of images: Boxship's own endpoints for `boxship sign` and `boxship verify`.

The client signs and checks; a private key never comes here, and what a signature is worth is the policy's business.
"""

import base64
from typing import Any

import msgspec

from boxship.doors.docker.call import Call, reply
from boxship.doors.docker.registries import auth_of
from boxship.doors.docker.router import Route
from boxship.errors import Invalid
from boxship.transport.exchange import Reply


class SignatureBody(msgspec.Struct):
    """The body of `POST /boxship/images/{name}/signatures`: both in base64."""

    payload: str = msgspec.field(name="Payload", default="")
    signature: str = msgspec.field(name="Signature", default="")


async def listed(call: Call) -> Reply:
    """What is to be signed of the image, and all its signatures."""
    found = await call.engine.images.signed(call.id)
    shown: dict[str, Any] = {
        "Reference": found.reference,
        "Digest": found.digest,
        "Digests": list(found.digests),
        "Signatures": [
            {"Payload": base64.b64encode(entry.payload).decode(), "Signature": entry.signature}
            for entry in found.signatures
        ],
    }
    return reply(shown)


async def add(call: Call) -> Reply:
    """Keep a signature; with `push`, send all of the image's to its registry too."""
    body = await call.body(SignatureBody)
    if not body.payload or not body.signature:
        raise Invalid("cannot keep the signature: Payload and Signature are needed")
    try:
        payload = base64.b64decode(body.payload, validate=True)
    except ValueError as error:
        raise Invalid("cannot keep the signature: its payload is not base64") from error
    digest = await call.engine.images.sign(call.id, payload, body.signature)
    pushed = 0
    if call.flag("push"):
        pushed = await call.engine.images.push_signatures(call.id, auth_of(call.request))
    return reply({"Digest": digest, "Pushed": pushed}, 201)


ROUTES = (
    Route("GET", "/boxship/images/{id*}/signatures", listed),
    Route("POST", "/boxship/images/{id*}/signatures", add, query=("push",)),
)
