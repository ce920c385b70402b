"""The flags of build as the order that the daemon gets, and what has to be at hand while it works."""

from __future__ import annotations

import binascii
import os

from boxship.cli.building import options as words
from boxship.cli.building.options import OutputPlan
from boxship.cli.building.place import Archive, Folder, Place, find_place, named_context
from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.flags import Options, UsageError
from boxship.cli.resource_options import parse_ulimit
from boxship.errors import Invalid, Unsupported

FIRST_NAMED = 2  # the stream of the first named context; the main one has 1
CALLS = ("build", "check")
KEPT = (b'"auths"', b'"credHelpers"', b'"credsStore"')  # in config.json


class Order:
    """`body` goes to the daemon; `folders` by stream are sent where it asks for them, `agents` are sockets by
    identifier, `outputs` what to do with archives that come back."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.body: Object = {}
        self.folders: dict[int, Folder | Archive] = {}
        self.agents: dict[str, str] = {}
        self.outputs: list[OutputPlan] = []
        self.check = False


def make_order(call: Call) -> Order:
    """Read all flags and files. Raises before anything is sent."""
    options = call.options
    refuse(options)
    secrets = dict(words.secret(word, call.environment) for word in options.texts("secret"))
    plans = words.outputs(options.texts("output"), push=options.on("push"), load=options.on("load"))
    allowed = words.entitlements(options.texts("allow"))
    arguments = words.build_arguments(options.texts("build-arg"), call.environment)
    order = Order(find_place(call.arguments[0], options.text("file"), 1))
    order.check = options.on("check") or options.text("call") == "check"
    order.agents = dict(words.agent(word, call.environment) for word in options.texts("ssh"))
    order.outputs = plans
    if order.place.context is not None:
        order.folders[1] = order.place.context
    order.body = {
        **_place_fields(order),
        "contexts": _named(order, options.texts("build-context")),
        "tags": [tag for tag in options.texts("tag") if tag],
        "target": options.text("target"),
        "arguments": arguments,
        "labels": words.pairs(options.texts("label"), "label"),
        "annotations": words.annotation_pairs(options.texts("annotation")),
        "platform": platform(options.texts("platform")),
        "no_cache": options.on("no-cache"),
        "no_cache_stages": [name for word in options.texts("no-cache-filter") for name in word.split(",") if name],
        "pull": options.on("pull"),
        "network": options.text("network") or "default",
        "extra_hosts": words.hosts(options.texts("add-host")),
        "secrets": {name: encoded(content) for name, content in secrets.items()},
        "agents": list(order.agents),
        "insecure": "security.insecure" in allowed,
        "host_network": "network.host" in allowed,
        "host_ca": options.on("host-ca"),
        "epoch": words.epoch_of(arguments, call.environment),
        "outputs": [plan.order() for plan in plans],
        "cache_from": [words.cache_end(word, "cache-from") for word in options.texts("cache-from")],
        "cache_to": [words.cache_end(word, "cache-to") for word in options.texts("cache-to")],
        "credentials": credentials(call),
        "check": order.check,
        **limits(options),
    }
    return order


def refuse(options: Options) -> None:
    """What Docker's own build has and this one does not."""
    if options.on("squash"):
        raise Unsupported("unsupported: --squash; use several stages, and COPY --from")
    if not options.on("rm"):
        raise Unsupported("unsupported: --rm=false: a build has no intermediate containers to keep")
    if options.text("isolation") not in ("", "default"):
        raise Unsupported(f"unsupported: --isolation {options.text('isolation')}")
    if options.texts("security-opt"):
        raise Unsupported("unsupported: --security-opt; use --allow security.insecure and RUN --security")
    for flag in ("provenance", "sbom"):
        if options.text(flag).lower() not in ("", "false", "0"):
            raise Unsupported(f"unsupported: --{flag}")
    if options.texts("attest"):
        raise Unsupported("unsupported: --attest")
    if options.text("call") not in ("", *CALLS):
        raise Unsupported(f"unsupported: --call {options.text('call')}: it must be {' or '.join(CALLS)}")


def encoded(content: bytes) -> str:
    return binascii.b2a_base64(content, newline=False).decode("ascii")


def platform(given: list[str]) -> str:
    names = [name for word in given for name in word.split(",") if name]
    if len(names) > 1:
        raise Unsupported("unsupported: --platform with several platforms")
    return names[0] if names else ""


def _place_fields(order: Order) -> Object:
    place = order.place
    fields: Object = {"dockerfile": place.dockerfile, "remote": place.remote}
    if place.context is not None:
        fields["context"] = place.context.order()
    if place.text is not None:
        fields["dockerfile_text"] = encoded(place.text)
    return fields


def _named(order: Order, given: list[str]) -> Object:
    found: Object = {}
    for number, word in enumerate(given, FIRST_NAMED):
        name, value = named_context(word, number)
        if name in found:
            raise Invalid(f"invalid --build-context: {name} twice")
        if isinstance(value, Folder):
            order.folders[number] = value
            found[name] = value.order()
        else:
            found[name] = value
    return found


def limits(options: Options) -> Object:
    """What steps may use. Sizes in bytes, times in microseconds."""
    swap = options.number("memory-swap")
    fields = {
        "memory": options.number("memory"),
        "memory_swap": swap,
        "cpu_shares": options.number("cpu-shares"),
        "cpu_period": options.number("cpu-period"),
        "cpu_quota": options.number("cpu-quota"),
        "cpuset_cpus": options.text("cpuset-cpus"),
        "cpuset_mems": options.text("cpuset-mems"),
    }
    for name, value in fields.items():
        if isinstance(value, int) and value < 0 and not (name == "memory_swap" and value == -1):
            raise UsageError(f'invalid argument "{value}" for "--{name.replace("_", "-")}" flag: it is negative')
    found = [parse_ulimit(word) for word in options.texts("ulimit")]
    return {
        "resources": {name: value for name, value in fields.items() if value},
        "ulimits": [{"name": one["Name"].lower(), "soft": one["Soft"], "hard": one["Hard"]} for one in found],
        "shm_size": max(options.number("shm-size"), 0),
        "cgroup_parent": options.text("cgroup-parent"),
    }


def credentials(call: Call) -> Object:
    """What `login` has kept, by registry. Most users have nothing, and need not wait for what reads it."""
    folder = call.environment.get("DOCKER_CONFIG") or os.path.join(call.environment.get("HOME", ""), ".docker")
    try:
        with open(os.path.join(folder, "config.json"), "rb") as file:
            text = file.read()
    except OSError:
        text = b""
    if not call.environment.get("DOCKER_AUTH_CONFIG") and not any(name in text for name in KEPT):
        return {}
    from boxship.cli.credentials import every_registry

    return every_registry(call)
