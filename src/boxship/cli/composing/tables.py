"""The tables of `ps`, `images`, `ls` and `volumes`, with the names that templates and JSON have for their columns."""

from __future__ import annotations

import json
import re

from boxship.cli.call import Call, Failure
from boxship.cli.composing.observing import first_name, seen_container
from boxship.cli.composing.opening import Opening
from boxship.cli.composing.seen import is_one_off, labels_of, service_of
from boxship.cli.daemon import Object
from boxship.cli.table import Column, Listing, align
from boxship.cli.text import ellipsis, labels_text, quote, short_id, split_reference
from boxship.cli.times import ago, is_missing, local_text, parse_time
from boxship.cli.verbs.ps import ports_text
from boxship.compose.model import Project
from boxship.compose.planning.observed import LABEL_FILES, LABEL_PROJECT
from boxship.compose.planning.selecting import named
from boxship.spec.quantity import format_decimal_bytes


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


def check_format(call: Call) -> str:
    """ "table" or "json". Raises Failure for anything else."""
    form = call.options.text("format") or "table"
    if form not in ("table", "json"):
        raise Failure(f"unsupported: --format {form}: it must be table or json")
    return form


def image_rows(opening: Opening, found: list[Object]) -> list[Object]:
    """One row for each container, with what is known of its image."""
    rows = []
    for item in found:
        image = opening.host.image(item.get("ImageID") or item.get("Image") or "") or {}
        tags = image.get("RepoTags") or []
        name = item.get("Image") or ""
        repository, tag = split_reference(name if not name.startswith("sha256:") else (tags or ["<none>:<none>"])[0])
        platform = "/".join(part for part in (image.get("Os"), image.get("Architecture"), image.get("Variant")) if part)
        rows.append(
            {
                "ID": image.get("Id") or item.get("ImageID") or "",
                "ContainerName": first_name(item),
                "Repository": repository or "<none>",
                "Tag": tag or "latest",
                "Platform": platform,
                "Size": image.get("Size") or 0,
                "Created": image.get("Created") or "",
                "LastTagTime": (image.get("Metadata") or {}).get("LastTagTime") or "",
            }
        )
    return rows


def images_table(rows: list[Object]) -> str:
    lines = [
        [
            row["ContainerName"],
            row["Repository"],
            row["Tag"],
            row["Platform"],
            short_id(row["ID"]),
            format_decimal_bytes(row["Size"], 3),
            ago(parse_time(row["Created"]) / 1_000_000_000) if not is_missing(row["Created"]) else "N/A",
        ]
        for row in rows
    ]
    return align([["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"], *lines])


def project_rows(call: Call) -> list[Object]:
    """The projects that have containers: name, states with their counts, files."""
    patterns = [_pattern(word) for word in call.options.texts("filter")]
    query = {"all": call.options.on("all") or None, "filters": json.dumps({"label": [LABEL_PROJECT]})}
    projects: dict[str, list[Object]] = {}
    for item in call.daemon.get("/containers/json", query):
        if not is_one_off(item):
            projects.setdefault(labels_of(item)[LABEL_PROJECT], []).append(item)
    rows = []
    for name in sorted(projects):
        states: dict[str, int] = {}
        files: dict[str, None] = {}
        for item in projects[name]:
            states[item["State"]] = states.get(item["State"], 0) + 1
            files |= dict.fromkeys(file for file in labels_of(item).get(LABEL_FILES, "").split(",") if file)
        status = ", ".join(f"{state}({states[state]})" for state in sorted(states))
        if all(pattern.search(name) for pattern in patterns):
            rows.append({"Name": name, "Status": status, "ConfigFiles": ",".join(files)})
    return rows


def _pattern(word: str) -> re.Pattern[str]:
    key, equals, value = word.partition("=")
    if not equals or key != "name":
        raise Failure(f"invalid filter {word!r}: it must be name=PATTERN")
    try:
        return re.compile(value)
    except re.error as error:
        raise Failure(f"invalid filter {word!r}: {error}") from None


def project_volumes(opening: Opening, project: Project, services: list[str]) -> list[Object]:
    """The project's volumes, or those that some services use; sorted by name."""
    chosen = named(project, services)
    used = {mount.source for service in chosen.values() for mount in service.volumes if mount.type == "volume"}
    names = {project.volumes[key].name for key in used if key in project.volumes}
    found = [
        volume
        for volume in opening.host.reach.daemon.get("/volumes").get("Volumes") or []
        if volume["Name"] in names or (not services and (volume.get("Labels") or {}).get(LABEL_PROJECT) == project.name)
    ]
    return sorted(found, key=lambda volume: str(volume["Name"]))
