"""boxship inspect: everything about a container, image, network or volume."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.daemon import Json
from boxship.cli.escape import escape, path_of
from boxship.cli.flags import Command, Flag
from boxship.cli.inspecting import FORMAT_FLAG, first_of, inspect_each

COMMAND = Command(
    "NAME|ID [NAME|ID...]",
    (
        FORMAT_FLAG,
        Flag("-s, --size", "Display total file sizes if the type is container"),
        Flag("--type string", "Only inspect objects of the given type: container, image, network or volume"),
    ),
    least=1,
    most=None,
    completes=("containers",),
)


def run(call: Call) -> int:
    # `container inspect` has the kind in its name.
    wanted = call.options.text("type") or (call.name.partition(" ")[0] if " " in call.name else "")
    daemon = call.daemon
    size = call.options.on("size") or None

    def container(name: str) -> Json:
        return daemon.get(f"/containers/{escape(name)}/json", {"size": size})

    def image(name: str) -> Json:
        return daemon.get(f"/images/{path_of(name)}/json")

    def network(name: str) -> Json:
        return daemon.get(f"/networks/{escape(name)}")

    def volume(name: str) -> Json:
        return daemon.get(f"/volumes/{escape(name)}")

    kinds = {"container": container, "image": image, "network": network, "volume": volume}
    if wanted and wanted not in kinds:
        raise Failure(f"{wanted!r} is not a valid value for --type: it must be one of {', '.join(kinds)}")
    if wanted:
        return inspect_each(call, call.arguments, kinds[wanted])
    return inspect_each(call, call.arguments, lambda name: first_of(name, tuple(kinds.values())))
