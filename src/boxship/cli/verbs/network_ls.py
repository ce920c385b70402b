"""boxship network ls: networks as a table."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.filters import filters_of
from boxship.cli.flags import Command, Flag
from boxship.cli.table import Column, Listing, is_template
from boxship.cli.text import labels_text, natural_key, short_id
from boxship.cli.times import go_time_text

COMMAND = Command(
    flags=(
        Flag("-f, --filter list", "Provide filter values (e.g. 'driver=bridge')"),
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("--no-trunc", "Do not truncate the output"),
        Flag("-q, --quiet", "Only display network ids"),
    ),
)


def run(call: Call) -> int:
    options = call.options
    form, whole = options.text("format"), options.on("no-trunc")
    networks = call.daemon.get("/networks", {"filters": filters_of(options.texts("filter"))})
    networks.sort(key=lambda network: natural_key(network["Name"]))
    columns = (
        Column("ID", "NETWORK ID", lambda n: n["Id"] if whole else short_id(n["Id"])),
        Column("Name", "NAME", lambda n: n["Name"]),
        Column("Driver", "DRIVER", lambda n: n["Driver"]),
        Column("Scope", "SCOPE", lambda n: n["Scope"]),
        Column("IPv4", "IPV4", lambda n: str(n.get("EnableIPv4", True)).lower()),
        Column("IPv6", "IPV6", lambda n: str(n.get("EnableIPv6", False)).lower()),
        Column("Internal", "INTERNAL", lambda n: str(n.get("Internal", False)).lower()),
        Column("Labels", "LABELS", lambda n: labels_text(n.get("Labels"))),
        Column("CreatedAt", "CREATED AT", lambda n: go_time_text(n.get("Created") or "")),
    )
    if options.on("quiet") and not is_template(form):
        call.write("".join(f"{columns[0].value(network)}\n" for network in networks))
        return 0
    methods = {"Label": lambda n, name: (n.get("Labels") or {}).get(name, "")}
    call.write(Listing(columns, ("ID", "Name", "Driver", "Scope"), methods).render(networks, form))
    return 0
