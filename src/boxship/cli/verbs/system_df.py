"""boxship system df: where the disk space went."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.flags import Command, Flag, UsageError
from boxship.cli.table import Column, Listing
from boxship.cli.text import short_id
from boxship.cli.times import MISSING, ago, is_missing, parse_time
from boxship.cli.verbs.images import listing as image_listing
from boxship.cli.verbs.images import name_rows
from boxship.cli.verbs.ps import listing as container_listing
from boxship.cli.verbs.volume_ls import listing as volume_listing
from boxship.spec.duration import SECOND
from boxship.spec.quantity import format_decimal_bytes

COMMAND = Command(
    flags=(
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("-a, --all", "Show where every byte under the data root went"),
        Flag("-v, --verbose", "Show detailed information on space usage"),
    ),
)


def run(call: Call) -> int:
    options = call.options
    form = options.text("format")
    if options.on("verbose") and form not in ("", "table"):
        raise UsageError("the verbose and the format options conflict")
    if options.on("all"):
        if options.on("verbose"):
            raise UsageError("the verbose and the all options conflict")
        call.write(_parts(call.daemon.get("/boxship/system/usage"), form))
        return 0
    usage = call.daemon.get("/system/df")
    if options.on("verbose"):
        call.write(_verbose(usage))
        return 0
    columns = tuple(
        Column(name, header, lambda row, name=name: row[name])  # type: ignore[misc]  # a bound default
        for name, header in (
            ("Type", "TYPE"),
            ("TotalCount", "TOTAL"),
            ("Active", "ACTIVE"),
            ("Size", "SIZE"),
            ("Reclaimable", "RECLAIMABLE"),
        )
    )
    listing = Listing(columns, ("Type", "TotalCount", "Active", "Size", "Reclaimable"))
    call.write(listing.render(usage_rows(usage), form))
    return 0


def _parts(usage: Object, form: str) -> str:
    """A row for each kind of thing under the data root, and their sum, which is what du says."""
    columns = (
        Column("Name", "NAME", lambda part: part["Name"]),
        Column("Count", "COUNT", lambda part: part["Count"]),
        Column("Size", "SIZE", lambda part: format_decimal_bytes(part["Size"])),
        Column("Bytes", "BYTES", lambda part: part["Size"]),
        Column("Path", "PATH", lambda part: f"{usage['Root']}/{part['Path']}".rstrip("/")),
    )
    rows = list(usage["Parts"])
    if form in ("", "table"):
        rows.append({"Name": "total", "Count": sum(row["Count"] for row in rows), "Size": usage["Total"], "Path": ""})
    return Listing(columns, ("Name", "Count", "Size", "Bytes", "Path")).render(rows, form)


def usage_rows(usage: Object) -> list[Object]:
    """A row for each kind: how many, how many in use, their size, and what pruning would give back."""
    images = usage.get("Images") or []
    containers = usage.get("Containers") or []
    volumes = usage.get("Volumes") or []
    builds = usage.get("BuildCache") or []
    layers = usage.get("LayersSize") or 0
    # As Docker counts: what images in use hold alone is not reclaimable; shared layers count once, in the total.
    used = sum(max(i.get("Size", 0) - max(i.get("SharedSize", 0), 0), 0) for i in images if _count(i) > 0)
    running = [container for container in containers if container.get("State") in ("running", "paused", "restarting")]
    stopped = sum(container.get("SizeRw") or 0 for container in containers if container not in running)
    usages = [volume.get("UsageData") or {} for volume in volumes]
    sizes = [(max(usage.get("Size") or 0, 0), usage.get("RefCount") or 0) for usage in usages]
    return [
        _row("Images", len(images), sum(_count(image) > 0 for image in images), layers, layers - used),
        _row("Containers", len(containers), len(running), sum(c.get("SizeRw") or 0 for c in containers), stopped),
        _row(
            "Local Volumes",
            len(volumes),
            sum(references > 0 for _, references in sizes),
            sum(size for size, _ in sizes),
            sum(size for size, references in sizes if references == 0),
        ),
        _row(
            "Build Cache",
            len(builds),
            sum(bool(build.get("InUse")) for build in builds),
            sum(build.get("Size") or 0 for build in builds if not build.get("Shared")),
            sum(build.get("Size") or 0 for build in builds if not build.get("InUse") and not build.get("Shared")),
            percent=False,
        ),
    ]


def _count(image: Object) -> int:
    return int(image.get("Containers") or 0)


def _row(kind: str, total: int, active: int, size: int, reclaimable: int, *, percent: bool = True) -> Object:
    share = f" ({reclaimable * 100 // size}%)" if size > 0 and percent else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": format_decimal_bytes(size),
        "Reclaimable": format_decimal_bytes(reclaimable) + share,
    }


def _verbose(usage: Object) -> str:
    images = image_listing(False, False)
    images.columns["CreatedSince"].absent = ""
    images.default = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers")
    containers = container_listing(False, True)
    containers.columns["Size"] = Column("Size", "SIZE", lambda c: format_decimal_bytes(c.get("SizeRw") or 0, 3))
    containers.default = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    volumes = volume_listing()
    volumes.default = ("Name", "Links", "Size")
    rows = [name_rows(image, False)[0] for image in usage.get("Images") or []]
    builds = usage.get("BuildCache") or []
    total = sum(build.get("Size") or 0 for build in builds if not build.get("Shared"))
    return "\n".join(
        (
            f"Images space usage:\n\n{images.render(rows)}",
            f"Containers space usage:\n\n{containers.render(usage.get('Containers') or [])}",
            f"Local Volumes space usage:\n\n{volumes.render(usage.get('Volumes') or [])}",
            f"Build cache usage: {format_decimal_bytes(total)}\n\n{_builds().render(builds)}",
        )
    )


def _builds() -> Listing:
    columns = (
        Column("ID", "CACHE ID", lambda b: short_id(b["ID"])),
        Column("CacheType", "CACHE TYPE", lambda b: b.get("Type") or ""),
        Column("Size", "SIZE", lambda b: format_decimal_bytes(b.get("Size") or 0, 3)),
        Column("CreatedSince", "CREATED", lambda b: _since(b.get("CreatedAt"))),
        Column("LastUsedSince", "LAST USED", lambda b: _since(b.get("LastUsedAt"))),
        Column("UsageCount", "USAGE", lambda b: str(b.get("UsageCount") or 0)),
        Column("Shared", "SHARED", lambda b: str(bool(b.get("Shared"))).lower()),
    )
    return Listing(columns, tuple(column.name for column in columns))


def _since(text: str | None) -> str:
    return "" if is_missing(text or MISSING) else ago(parse_time(text or MISSING) / SECOND)
