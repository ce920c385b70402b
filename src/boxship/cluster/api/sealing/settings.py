"""Which resources are sealed by which keys: read from an EncryptionConfiguration (kubernetes.io, "Encrypting
Confidential Data at Rest"), or made for a cluster that names none: secrets by one AES key of 256 bits in a
file of its own.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from boxship.cluster.api.sealing.sealer import IDENTITY, ConfiguredSealer, Provider
from boxship.errors import Denied, Invalid, Unsupported
from boxship.pki.cluster_sealing import AesBox, Box, CbcBox, SecretBox
from boxship.pki.files import is_private, read_file, write_file

API_VERSIONS = ("apiserver.config.k8s.io/v1",)
BOXES: dict[str, Callable[[bytes], Box]] = {"aesgcm": AesBox, "aescbc": CbcBox, "secretbox": SecretBox}
UNSUPPORTED = ("kms",)  # a value is opened where it is read, which must not wait for another program
KEY_BYTES = 32
OWN_MARK = b"k8s:enc:aesgcm:v1:boxship:"
_RESOURCE = re.compile(r"\*\.\*?|(\*|[a-z0-9-]+)(\.[a-z0-9.*-]+)?")


def own_key(path: Path) -> Provider:
    """The key of a cluster that names none: in the file `path`, which is made where it is missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
    if not is_private(path):
        raise Denied(f"cannot use the key file {path}: others may read it (chmod 600 {path})")
    key = _key(read_file(path).strip().decode(errors="replace"), str(path))
    return Provider(OWN_MARK, AesBox(key))


def default_sealer(path: Path) -> ConfiguredSealer:
    """Secrets are sealed by the cluster's own key."""
    return ConfiguredSealer({"secrets": (own_key(path), IDENTITY)})


def no_sealer(path: Path) -> ConfiguredSealer:
    """Nothing is sealed any more; what the cluster's own key has sealed can still be read."""
    return ConfiguredSealer({"secrets": (IDENTITY, *([own_key(path)] if path.exists() else ()))})


def sealer_of(document: Any, also: Sequence[Provider] = ()) -> ConfiguredSealer:
    """The sealer that an EncryptionConfiguration (decoded) describes; `also` opens, but never seals. Raises Invalid,
    Unsupported."""
    if not isinstance(document, dict) or document.get("kind") != "EncryptionConfiguration":
        raise Invalid("cannot read the encryption configuration: its kind is not EncryptionConfiguration")
    if document.get("apiVersion") not in API_VERSIONS:
        raise Invalid(f"cannot read the encryption configuration: its apiVersion is not {API_VERSIONS[0]}")
    entries = document.get("resources")
    if not isinstance(entries, list) or not entries:
        raise Invalid("cannot read the encryption configuration: resources: Required value")
    providers: dict[str, list[Provider]] = {}
    keys: dict[str, Any] = {}  # by kind and name: a stored value says no more
    for index, entry in enumerate(entries):
        place = f"resources[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("providers"), list) or not entry["providers"]:
            raise Invalid(f"cannot read the encryption configuration: {place}.providers: Required value")
        made = [one for part in entry["providers"] for one in _providers(part, place)]
        for mark, settings in _keys(entry["providers"]):
            if keys.setdefault(mark, settings) != settings:
                raise Invalid(f"cannot read the encryption configuration: {place}: two keys are named {mark}")
        for resource in _resources(entry, place):
            providers.setdefault(resource, made)  # the first that names a resource counts
    return ConfiguredSealer({resource: (*known, *also) for resource, known in providers.items()})


def _resources(entry: dict[str, Any], place: str) -> list[str]:
    named = entry.get("resources")
    if not isinstance(named, list) or not named:
        raise Invalid(f"cannot read the encryption configuration: {place}.resources: Required value")
    for resource in named:
        if not isinstance(resource, str) or not _RESOURCE.fullmatch(resource):
            raise Invalid(f"cannot read the encryption configuration: {place}.resources: {resource!r} is no resource")
    return list(named)


def _providers(part: Any, place: str) -> list[Provider]:
    """The keys of one provider, in their order."""
    if not isinstance(part, dict) or len(part) != 1:
        raise Invalid(f"cannot read the encryption configuration: {place}.providers: one provider in each entry")
    kind, settings = next(iter(part.items()))
    if kind == "identity":
        return [IDENTITY]
    if kind in UNSUPPORTED:
        raise Unsupported(f"unsupported: the encryption provider {kind}")
    keys = settings.get("keys") if isinstance(settings, dict) else None
    if kind not in BOXES or not isinstance(keys, list) or not keys:
        raise Invalid(f"cannot read the encryption configuration: {place}.providers: {kind!r} has no keys")
    return [_provider(kind, key, place) for key in keys]


def _keys(parts: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Kind and name of each key, and what it is."""
    for part in parts:
        for kind, settings in part.items():
            for key in (settings or {}).get("keys") or ():
                yield f"{kind} {key['name']}", key


def _provider(kind: str, key: Any, place: str) -> Provider:
    name = key.get("name") if isinstance(key, dict) else None
    if not isinstance(name, str) or not name or ":" in name:
        raise Invalid(f"cannot read the encryption configuration: {place}: a key has no name, or a colon in it")
    box: Box = BOXES[kind](_key(str(key.get("secret", "")), f"{place}: the key {name}"))
    return Provider(f"k8s:enc:{kind}:v1:{name}:".encode(), box)


def _key(text: str, place: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"cannot read the encryption key {place}: it is not base64") from error
