"""The small languages of build's flags: secrets, agents, outputs, caches, hosts. Each says what it refuses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from boxship.cli.daemon import Object
from boxship.cli.option_text import split_commas
from boxship.errors import Invalid, Unsupported

SECRET_BYTES = 500 << 10  # what the daemon takes of one
OUTPUT_KINDS = ("image", "registry", "docker", "oci", "tar", "local", "cacheonly", "none")
CACHE_KINDS = ("inline", "registry", "local")
ANNOTATED = ("manifest", "index", "manifest-descriptor", "index-descriptor")
ENTITLEMENTS = ("network.host", "security.insecure")
EPOCH = "SOURCE_DATE_EPOCH"


def fields_of(word: str, flag: str) -> dict[str, str]:
    """ "a=1,b=2" as a mapping; a field without "=" stands for true."""
    found: dict[str, str] = {}
    for field in split_commas(word):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if not key:
            raise Invalid(f"invalid argument {word!r} for --{flag}: a field without a name")
        if key in found:
            raise Invalid(f"invalid argument {word!r} for --{flag}: {key} twice")
        found[key] = value if equals else "true"
    return found


def build_arguments(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, str | None]:
    """A name alone takes its value from the environment; None where that has none."""
    found: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise Invalid(f"invalid argument {word!r} for --build-arg: it must be NAME[=VALUE]")
        found[name] = value if equals else environment.get(name)
    return found


def epoch_of(arguments: Mapping[str, str | None], environment: Mapping[str, str]) -> int | None:
    """Seconds that all times are set to: of the build argument, else of the environment."""
    text = arguments.get(EPOCH) or environment.get(EPOCH) or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 13):
        raise Invalid(f"cannot use {EPOCH}: {text!r} is no number of seconds")
    return int(text)


def pairs(words: Sequence[str], flag: str) -> dict[str, str]:
    """KEY=VALUE words; a key alone has an empty value."""
    found = {}
    for word in words:
        key, _, value = word.partition("=")
        if not key:
            raise Invalid(f"invalid argument {word!r} for --{flag}: it must be KEY=VALUE")
        found[key] = value
    return found


def annotation_pairs(words: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE, also with `manifest:` before it, which is where they go. There is no index to annotate."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        level, colon, name = key.partition(":")
        if colon and level.partition("[")[0].partition(",")[0] in ANNOTATED:
            if level != "manifest":
                raise Unsupported(f"unsupported: --annotation {level}: it must be manifest")
            key = name
        if not key or not equals:
            raise Invalid(f"invalid argument {word!r} for --annotation: it must be KEY=VALUE")
        found[key] = value
    return found


def hosts(words: Sequence[str]) -> list[str]:
    """ "name:address" for both spellings; IPv6 in brackets or without."""
    found = []
    for word in words:
        places = [place for place in (word.find("="), word.find(":")) if place >= 0]
        cut = min(places, default=-1)
        name, address = word[:cut], word[cut + 1 :]
        if cut < 1 or not address:
            raise Invalid(f"bad format for add-host: {word!r}")
        found.append(f"{name}:{address}")
    return found


def secret(word: str, environment: Mapping[str, str]) -> tuple[str, bytes]:
    """ "id=x,src=FILE" or "id=x,env=NAME"; without either the variable of that name, else the file."""
    fields = fields_of(word, "secret")
    kind = fields.pop("type", "")
    identifier = fields.pop("id", "")
    path = fields.pop("src", "") or fields.pop("source", "")
    variable = fields.pop("env", "")
    if fields:
        raise Invalid(f"invalid argument {word!r} for --secret: unexpected key {next(iter(fields))!r}")
    if not identifier:
        raise Invalid(f"invalid argument {word!r} for --secret: id is missing")
    if kind not in ("", "file", "env"):
        raise Unsupported(f"unsupported: --secret of type {kind}")
    if kind == "env" and not variable:
        variable, path = path or identifier, ""
    elif not kind and not path and not variable:
        if identifier in environment:
            variable = identifier
        else:
            path = identifier
    if variable and not path:
        if variable not in environment:
            raise Invalid(f"cannot use secret {identifier}: the environment has no {variable}")
        content = os.fsencode(environment[variable])
    else:
        content = _read_secret(identifier, path)
    if len(content) > SECRET_BYTES:
        raise Invalid(f"cannot use secret {identifier}: longer than {SECRET_BYTES} bytes")
    return identifier, content


def _read_secret(identifier: str, path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return file.read(SECRET_BYTES + 1)
    except OSError as error:
        raise Invalid(f"cannot use secret {identifier}: {path}: {(error.strerror or str(error)).lower()}") from None


def agent(word: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """(identifier, path of the agent's socket) of "default", "ID" or "ID=SOCKET"."""
    identifier, equals, path = word.partition("=")
    if not identifier:
        raise Invalid(f"invalid argument {word!r} for --ssh: it must be default or ID=SOCKET")
    if not equals:
        path = environment.get("SSH_AUTH_SOCK", "")
        if not path:
            raise Invalid(f"cannot use --ssh {identifier}: SSH_AUTH_SOCK is not set; start an agent")
    import stat

    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise Invalid(f"cannot use --ssh {identifier}: {path}: {(error.strerror or str(error)).lower()}") from None
    if not stat.S_ISSOCK(mode):
        raise Unsupported(f"unsupported: --ssh {word} with a key file: add the key to an agent (ssh-add {path})")
    return identifier, os.path.abspath(path)


class OutputPlan:
    """One --output: what the daemon makes, and where its archive goes here ("" where it sends none, "-" is stdout).
    `folder`: the archive is unpacked there."""

    __slots__ = ("attributes", "destination", "folder", "kind")

    def __init__(self, kind: str, attributes: dict[str, str], destination: str = "", folder: bool = False) -> None:
        self.kind = kind
        self.attributes = attributes
        self.destination = destination
        self.folder = folder

    def order(self) -> Object:
        return {"kind": self.kind, "attributes": self.attributes}


def output(word: str) -> OutputPlan:
    """ "type=KIND,dest=PATH,…"; "-" is an archive to stdout, a path alone a folder."""
    if word == "-":
        return OutputPlan("tar", {}, "-")
    if "=" not in word:
        return OutputPlan("local", {}, word, True)
    fields = fields_of(word, "output")
    kind = fields.pop("type", "")
    destination = fields.pop("dest", "")
    if kind not in OUTPUT_KINDS:
        raise Unsupported(f"unsupported: --output of type {kind or '(none)'}: it must be {', '.join(OUTPUT_KINDS)}")
    if kind in ("cacheonly", "none"):
        return OutputPlan("none", fields)
    if kind == "registry":
        return OutputPlan("image", {**fields, "push": "true"})
    if kind == "image" or (kind == "docker" and not destination):
        if destination:
            raise Invalid(f"invalid argument {word!r} for --output: an image has no dest")
        return OutputPlan("image", fields)
    if kind == "local":
        if not destination or destination == "-":
            raise Invalid(f"invalid argument {word!r} for --output: dest must name a folder")
        return OutputPlan(kind, fields, destination, True)
    unpacked = kind == "oci" and fields.pop("tar", "true").lower() == "false"
    if unpacked and destination in ("", "-"):
        raise Invalid(f"invalid argument {word!r} for --output: dest must name a folder")
    return OutputPlan(kind, fields, destination or "-", unpacked)


def outputs(words: Sequence[str], *, push: bool, load: bool) -> list[OutputPlan]:
    """All outputs; an image where none is asked for."""
    found = [output(word) for word in words]
    if push:
        images = [plan for plan in found if plan.kind == "image"]
        for plan in images:
            plan.attributes["push"] = "true"
        if not images:
            found.append(OutputPlan("image", {"push": "true"}))
    if load and not any(plan.kind == "image" for plan in found):
        found.append(OutputPlan("image", {}))
    if sum(plan.destination == "-" for plan in found) > 1:
        raise Invalid("invalid --output: only one archive can go to standard output")
    return found or [OutputPlan("image", {})]


def cache_end(word: str, flag: str) -> Object:
    """One --cache-from or --cache-to; a name alone is an image in a registry. Folders are made absolute."""
    if "=" not in word:
        if word in CACHE_KINDS:
            return {"kind": word, "attributes": {}}
        return {"kind": "registry", "attributes": {"ref": word}}
    fields = fields_of(word, flag)
    kind = fields.pop("type", "registry")
    if kind not in CACHE_KINDS:
        raise Unsupported(f"unsupported: --{flag} of type {kind}: it must be {', '.join(CACHE_KINDS)}")
    needed = {"registry": "ref", "local": "src" if flag == "cache-from" else "dest"}.get(kind, "")
    if needed and not fields.get(needed):
        raise Invalid(f"invalid argument {word!r} for --{flag}: {needed} is missing")
    for name in ("src", "dest"):
        if name in fields:
            fields[name] = os.path.abspath(fields[name])
    return {"kind": kind, "attributes": fields}


def entitlements(words: Sequence[str]) -> set[str]:
    found = {name for word in words for name in word.split(",")}
    for name in found - set(ENTITLEMENTS):
        raise Unsupported(f"unsupported: --allow {name}: it must be {' or '.join(ENTITLEMENTS)}")
    return found
