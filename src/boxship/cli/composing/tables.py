"""The tables of `ps`, `images`, `ls` and `volumes`, with the names that templates and JSON have for their columns."""

from __future__ import annotations

import json

from boxship.cli.composing.observing import first_name, seen_container
from boxship.cli.composing.seen import labels_of, service_of
from boxship.cli.daemon import Object
from boxship.cli.table import Column, Listing
from boxship.cli.text import ellipsis, labels_text, quote, short_id
from boxship.cli.times import ago, local_text
from boxship.cli.verbs.ps import ports_text
from boxship.compose.planning.observed import LABEL_PROJECT


def containers_listing(whole: bool) -> Listing:
    """The containers of a project, as `docker compose ps` shows them."""
    columns = (
        Column("Name", "NAME", first_name),
        Column("Names", "NAME", first_name),
        Column("ID", "CONTAINER ID", lambda c: c["Id"] if whole else short_id(c["Id"])),
        Column("Image", "IMAGE", lambda c: c.get("Image") or ""),
        Column("Command", "COMMAND", lambda c: quote(c["Command"] if whole else ellipsis(c["Command"], 20))),
        Column("Service", "SERVICE", service_of),
        Column("Project", "PROJECT", lambda c: labels_of(c).get(LABEL_PROJECT, "")),
        Column("RunningFor", "CREATED", lambda c: ago(c["Created"])),
        Column("CreatedAt", "CREATED AT", lambda c: local_text(c["Created"])),
        Column("Status", "STATUS", lambda c: c["Status"]),
        Column("State", "STATE", lambda c: c["State"]),
        Column("Health", "HEALTH", lambda c: seen_container(c).health),
        Column("ExitCode", "EXIT CODE", lambda c: seen_container(c).exit_code),
        Column("Ports", "PORTS", lambda c: ports_text(c.get("Ports") or [])),
        Column("Publishers", "PUBLISHERS", publishers),
        Column("Labels", "LABELS", lambda c: labels_text(c.get("Labels"))),
        Column("LocalVolumes", "LOCAL VOLUMES", _local_volumes),
        Column("Mounts", "MOUNTS", lambda c: ",".join(_mounts(c))),
        Column("Networks", "NETWORKS", lambda c: ",".join((c.get("NetworkSettings") or {}).get("Networks") or {})),
        Column("Size", "SIZE", lambda c: "0B"),
    )
    default = ("Name", "Image", "Command", "Service", "RunningFor", "Status", "Ports")
    return Listing(columns, default, {"Label": lambda c, name: labels_of(c).get(name, "")}, json_value=container_json)


def container_json(item: Object) -> Object:
    """What JSON shows of a container: fields by name, ports as a list."""
    seen = seen_container(item)
    return {
        "Command": quote(item["Command"]),
        "CreatedAt": local_text(item["Created"]),
        "ExitCode": seen.exit_code,
        "Health": seen.health,
        "ID": short_id(item["Id"]),
        "Image": item.get("Image") or "",
        "Labels": labels_text(item.get("Labels")),
        "LocalVolumes": _local_volumes(item),
        "Mounts": ",".join(_mounts(item)),
        "Name": first_name(item),
        "Names": first_name(item),
        "Networks": ",".join((item.get("NetworkSettings") or {}).get("Networks") or {}),
        "Ports": ports_text(item.get("Ports") or []),
        "Project": labels_of(item).get(LABEL_PROJECT, ""),
        "Publishers": publishers(item),
        "RunningFor": ago(item["Created"]),
        "Service": service_of(item),
        "Size": "0B",
        "State": item["State"],
        "Status": item["Status"],
    }


def publishers(item: Object) -> list[Object]:
    found = [
        {
            "URL": port.get("IP") or "",
            "TargetPort": port["PrivatePort"],
            "PublishedPort": port.get("PublicPort") or 0,
            "Protocol": port.get("Type") or "tcp",
        }
        for port in item.get("Ports") or []
    ]
    return sorted(found, key=lambda one: (one["TargetPort"], one["URL"], one["PublishedPort"]))


def _mounts(item: Object) -> list[str]:
    return [mount.get("Name") or mount.get("Source") or "" for mount in item.get("Mounts") or []]


def _local_volumes(item: Object) -> str:
    return str(sum(mount.get("Driver") == "local" for mount in item.get("Mounts") or []))


def json_text(value: object) -> str:
    """One JSON document on one line, as the tables of `docker compose` have it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
