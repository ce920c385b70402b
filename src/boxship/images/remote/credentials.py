"""Credentials as clients write them: fields of JSON, by a server's address in one of many spellings. Pure."""

import base64
import binascii
from collections.abc import Mapping

from boxship.errors import Invalid
from boxship.images.remote.client import domain_of
from boxship.images.remote.model import Credentials


def from_fields(fields: Mapping[str, object]) -> Credentials:
    """Of the fields username, password, auth (base64 of both), identitytoken and registrytoken. Raises Invalid."""
    for name, value in fields.items():
        if value is not None and not isinstance(value, str | bool):
            raise Invalid(f"cannot read credentials: {name} is no text")
    username, password = _text(fields, "username"), _text(fields, "password")
    pair = _text(fields, "auth")
    if pair and not username:
        try:
            username, _, password = base64.b64decode(pair, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Invalid("cannot read credentials: auth is not base64 of USERNAME:PASSWORD") from error
    if username == "<token>":
        return Credentials(identity_token=password)
    if any(letter in username + password for letter in "\0\r\n"):
        raise Invalid("cannot read credentials: they have control characters")
    return Credentials(username, password, _text(fields, "identitytoken"), _text(fields, "registrytoken"))


def by_domain(given: Mapping[str, Credentials | Mapping[str, object]]) -> dict[str, Credentials]:
    """Credentials by the registry's domain."""
    return {
        domain_of(server): entry if isinstance(entry, Credentials) else from_fields(entry)
        for server, entry in given.items()
    }


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
