"""boxship ps: containers as a table."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.filters import collect, encode_filters
from boxship.cli.flags import Command, Flag
from boxship.cli.table import Column, Listing, is_template
from boxship.cli.text import ellipsis, host_port, labels_text, quote, short_id
from boxship.cli.times import ago, local_text
from boxship.spec.quantity import format_decimal_bytes

COMMAND = Command(
    flags=(
        Flag("-a, --all", "Show all containers (default shows just running)"),
        Flag("-f, --filter list", "Filter output, for example status=exited or label=KEY"),
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("-n, --last int", "Show the last created containers (in all states)", -1),
        Flag("-l, --latest", "Show the latest created container (in all states)"),
        Flag("--no-trunc", "Don't truncate output"),
        Flag("-q, --quiet", "Only display container ids"),
        Flag("-s, --size", "Display total file sizes"),
    ),
)


def run(call: Call) -> int:
    options = call.options
    form = options.text("format")
    last = 1 if options.on("latest") else options.number("last")
    size = options.on("size") or (is_template(form) and ".Size" in form)
    query = {
        "all": options.on("all") or last > 0 or None,
        "limit": last if last > 0 else None,
        "size": size or None,
        "filters": encode_filters(collect(options.texts("filter"))),
    }
    containers = call.daemon.get("/containers/json", query)
    whole = options.on("no-trunc")
    if options.on("quiet") and not is_template(form):
        call.write("".join(f"{c['Id'] if whole else short_id(c['Id'])}\n" for c in containers))
    else:
        call.write(listing(whole, options.on("size")).render(containers, form))
    return 0


def listing(whole: bool, with_size: bool = False) -> Listing:
    """The columns of containers; `whole` leaves ids, commands and names uncut."""
    columns = (
        Column("ID", "CONTAINER ID", lambda c: c["Id"] if whole else short_id(c["Id"])),
        Column("Image", "IMAGE", lambda c: _image(c, whole)),
        Column("Command", "COMMAND", lambda c: quote(c["Command"] if whole else ellipsis(c["Command"], 20))),
        Column("CreatedAt", "CREATED AT", lambda c: local_text(c["Created"])),
        Column("RunningFor", "CREATED", lambda c: ago(c["Created"])),
        Column("Status", "STATUS", lambda c: c["Status"]),
        Column("State", "STATE", lambda c: c["State"]),
        Column("Ports", "PORTS", lambda c: ports_text(c.get("Ports") or [])),
        Column("Names", "NAMES", lambda c: ",".join(_names(c, whole))),
        Column("Size", "SIZE", _size),
        Column("Labels", "LABELS", lambda c: labels_text(c.get("Labels"))),
        Column("Mounts", "MOUNTS", lambda c: ",".join(_mounts(c, whole))),
        Column("LocalVolumes", "LOCAL VOLUMES", _local_volumes),
        Column("Networks", "NETWORKS", lambda c: ",".join((c.get("NetworkSettings") or {}).get("Networks") or {})),
    )
    default = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", *(("Size",) if with_size else ()))
    return Listing(columns, default, {"Label": lambda c, name: (c.get("Labels") or {}).get(name, "")})


def _image(container: Object, whole: bool) -> str:
    image: str = container.get("Image") or "<no image>"
    if whole:
        return image
    if short_id(container.get("ImageID") or "?") == short_id(image):
        return short_id(image)
    name, at, _ = image.partition("@")
    return name if at else image


def _names(container: Object, whole: bool) -> list[str]:
    names = [name.removeprefix("/") for name in container.get("Names") or []]
    return names if whole else [name for name in names if "/" not in name]


def _size(container: Object) -> str:
    writable = format_decimal_bytes(container.get("SizeRw") or 0, 3)
    whole = container.get("SizeRootFs") or 0
    return f"{writable} (virtual {format_decimal_bytes(whole, 3)})" if whole > 0 else writable


def _mounts(container: Object, whole: bool) -> list[str]:
    names = [mount.get("Name") or mount.get("Source") or "" for mount in container.get("Mounts") or []]
    return names if whole else [ellipsis(name, 15) for name in names]


def _local_volumes(container: Object) -> str:
    return str(sum(mount.get("Driver") == "local" for mount in container.get("Mounts") or []))


def ports_text(ports: list[Object]) -> str:
    """Ports as "0.0.0.0:80-81->80-81/tcp, 443/tcp": runs of equal numbers are joined, remapped ones stand alone."""
    runs: dict[tuple[str, str], list[list[int]]] = {}
    remapped = []
    for port in sorted(ports, key=_port_order):
        private, public, protocol = port["PrivatePort"], port.get("PublicPort") or 0, port["Type"]
        address = port.get("IP") or ""
        if address and public != private:
            remapped.append(f"{host_port(address, public)}->{private}/{protocol}")
            continue
        found = runs.setdefault((address, protocol), [])
        if found and found[-1][1] + 1 == private:
            found[-1][1] = private
        else:
            found.append([private, private])
    # Docker shows a run when the next one of its kind begins, and the last run of each kind at the end.
    texts = [_run_text(key, run) for key, found in runs.items() for run in found[:-1]]
    texts += [_run_text(key, found[-1]) for key, found in runs.items()]
    return ", ".join(texts + remapped)


def _port_order(port: Object) -> tuple[int, str, int, str]:
    return port["PrivatePort"], port.get("IP") or "", port.get("PublicPort") or 0, port["Type"]


def _run_text(key: tuple[str, str], run: list[int]) -> str:
    address, protocol = key
    numbers = str(run[0]) if run[0] == run[1] else f"{run[0]}-{run[1]}"
    return f"{host_port(address, numbers)}->{numbers}/{protocol}" if address else f"{numbers}/{protocol}"
