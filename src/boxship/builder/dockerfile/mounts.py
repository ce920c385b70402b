"""RUN --mount: its keys and values, as written and again with variables put in. Pure."""

import csv
import re
from collections.abc import Callable

from boxship.builder.dockerfile.syntax import RunMount
from boxship.errors import Invalid

KINDS = ("bind", "cache", "secret", "ssh", "tmpfs")
LARGEST_ID = 0xFFFFFFFE  # one more means "nobody" to the kernel
SHARING = ("shared", "private", "locked")
_NAMES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_OWNED = ("cache", "secret", "ssh")
_ALLOWED: dict[str, tuple[str, ...]] = {  # keys that only some kinds have; an id of a bind mount is a name, no more
    "from": ("bind", "cache"),
    "source": ("bind", "cache", "secret"),
    "id": ("bind", "cache", "secret", "ssh"),
    "required": ("secret", "ssh"),
    "env": ("secret",),
    "size": ("tmpfs",),
    "mode": _OWNED,
    "uid": _OWNED,
    "gid": _OWNED,
    "sharing": ("cache",),
}
_KEYS = ("type", "target", "readonly", "readwrite", *_ALLOWED)
_BARE = ("readonly", "readwrite", "required")
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_SIZE = re.compile(r"\d+(?:\.\d+)? ?(?:[kmgtp]i?)?b?", re.IGNORECASE)


def read(text: str) -> RunMount:
    """One --mount as written. What has variables is looked at only when they are known. Raises Invalid."""
    return _mount(_options(text), None)


def expanded(mount: RunMount, expand: Callable[[str], str]) -> RunMount:
    """The mount with every value but `from` expanded. Raises Invalid."""
    return _mount(mount.options, expand)


def _options(text: str) -> dict[str, str]:
    """The keys, under their first names, in the order of the text; the last of two wins."""
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise Invalid(f"invalid --mount {text!r}: {error}") from None
    options: dict[str, str] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        key = key.lower()
        name = _NAMES.get(key, key)
        if name not in _KEYS:
            raise Invalid(f"unexpected key '{key}' in '{field}'")
        if not equals:
            if name not in _BARE:
                raise Invalid(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        if name == "from" and re.search(r"\$.", value):
            raise Invalid("'from' doesn't support variable expansion, define alias stage instead")
        if name == "readwrite":
            options.pop("readonly", None)
        elif name == "readonly":
            options.pop("readwrite", None)
        options[name] = value
    return options


def _mount(options: dict[str, str], expand: Callable[[str], str] | None) -> RunMount:
    if expand is None:
        values = {key: value for key, value in options.items() if "$" not in value or key == "from"}
    else:
        values = {key: value if key == "from" else expand(value) for key, value in options.items()}
    kind = values.get("type", "bind" if "type" not in options else "")
    if kind and kind not in KINDS:
        raise Invalid(f'unsupported mount type "{kind}"')
    if kind:
        _check(kind, options, values)
    read_only: bool | None = None
    if "readonly" in values:
        read_only = _switch("readonly", values["readonly"])
    elif "readwrite" in values:
        read_only = not _switch("readwrite", values["readwrite"])
    if kind == "secret" and read_only is False:
        raise Invalid("a secret mount cannot be written")
    written = {**options, **values}
    return RunMount(
        kind=kind or "bind",
        origin=written.get("from", ""),
        source=written.get("source", ""),
        target=written.get("target", ""),
        identifier=written.get("id", ""),
        read_only=read_only,
        sharing=written.get("sharing", "shared"),
        required="required" in values and _switch("required", values["required"]),
        environment=written.get("env", ""),
        mode=written.get("mode", ""),
        uid=written.get("uid", ""),
        gid=written.get("gid", ""),
        size=written.get("size", ""),
        options=options,
    )


def _check(kind: str, options: dict[str, str], values: dict[str, str]) -> None:
    for key in options:
        if kind == "secret" and key == "from":
            raise Invalid("secret mount should not have a from")
        if kind not in _ALLOWED.get(key, KINDS):
            raise Invalid(f"unexpected key '{key}' for mount type '{kind}'")
    if values.get("sharing", "shared") not in SHARING:
        raise Invalid(f'unsupported sharing value "{values["sharing"]}"')
    if not re.fullmatch(r"[0-7]{1,5}", values.get("mode", "0")):
        raise Invalid(f"invalid value {values['mode']} for mode")
    for key in ("uid", "gid"):
        if not re.fullmatch(r"\d{1,10}", values.get(key, "0")) or int(values.get(key, "0")) > LARGEST_ID:
            raise Invalid(f"invalid value {values[key]} for {key}")
    if not _SIZE.fullmatch(values.get("size", "0")):
        raise Invalid(f"invalid value for size: {values['size']}")
    if kind == "secret":
        if not any(key in options for key in ("source", "target", "id", "env")):
            raise Invalid("invalid secret mount. one of source, target required")
        if "source" in options and "id" in options:
            raise Invalid("both source and id can't be set")


def _switch(name: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise Invalid(f"invalid value for {name}: {value}")
