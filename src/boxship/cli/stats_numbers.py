"""The numbers of `stats` out of the daemon's samples. Pure."""

from __future__ import annotations

from boxship.cli.daemon import Object
from boxship.cli.table import Column, Listing
from boxship.cli.text import short_id
from boxship.spec.quantity import format_binary_bytes, format_decimal_bytes

UNKNOWN = "--"


def processor_percent(sample: Object) -> float:
    """Use of processors between the sample and the one before it; 100 is one whole processor."""
    now, before = sample.get("cpu_stats") or {}, sample.get("precpu_stats") or {}
    used = _usage(now) - _usage(before)
    passed = (now.get("system_cpu_usage") or 0) - (before.get("system_cpu_usage") or 0)
    count = now.get("online_cpus") or len((now.get("cpu_usage") or {}).get("percpu_usage") or []) or 1
    return used / passed * count * 100 if used > 0 and passed > 0 else 0.0


def _usage(part: Object) -> int:
    return int((part.get("cpu_usage") or {}).get("total_usage") or 0)


def memory_used(sample: Object) -> int:
    """Bytes without the page cache that the kernel can drop at once."""
    memory = sample.get("memory_stats") or {}
    usage = int(memory.get("usage") or 0)
    details = memory.get("stats") or {}
    cache = int(details.get("total_inactive_file", details.get("inactive_file", 0)) or 0)
    return usage - cache if cache < usage else usage


def network_bytes(sample: Object) -> tuple[int, int]:
    """Received and sent, all interfaces."""
    interfaces = (sample.get("networks") or {}).values()
    return sum(i.get("rx_bytes") or 0 for i in interfaces), sum(i.get("tx_bytes") or 0 for i in interfaces)


def block_bytes(sample: Object) -> tuple[int, int]:
    """Read and written, all devices."""
    totals = {"r": 0, "w": 0}
    for entry in (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []:
        kind = (entry.get("op") or "?")[0].lower()
        if kind in totals:
            totals[kind] += entry.get("value") or 0
    return totals["r"], totals["w"]


def listing(whole: bool) -> Listing:
    """The columns of rows {"Id", "Name", "Container", "Sample"}; a sample of None has not come yet."""

    def shown(row: Object, text: str) -> str:
        return text if row["Sample"] is not None else UNKNOWN

    def pair(row: Object, values: tuple[int, int], precision: int) -> str:
        return shown(row, " / ".join(format_decimal_bytes(value, precision) for value in values))

    def memory(row: Object) -> str:
        limit = (_sample(row).get("memory_stats") or {}).get("limit") or 0
        if row["Sample"] is None:
            return f"{UNKNOWN} / {UNKNOWN}"
        return f"{format_binary_bytes(memory_used(_sample(row)))} / {format_binary_bytes(limit)}"

    def memory_percent(row: Object) -> str:
        limit = (_sample(row).get("memory_stats") or {}).get("limit") or 0
        return shown(row, f"{memory_used(_sample(row)) / limit * 100 if limit else 0.0:.2f}%")

    columns = (
        Column("Container", "CONTAINER", lambda r: r["Container"] if whole else short_id(r["Container"])),
        Column("ID", "CONTAINER ID", lambda r: r["Id"] if whole else short_id(r["Id"])),
        Column("Name", "NAME", lambda r: r["Name"] or UNKNOWN),
        Column("CPUPerc", "CPU %", lambda r: shown(r, f"{processor_percent(_sample(r)):.2f}%")),
        Column("MemUsage", "MEM USAGE / LIMIT", memory),
        Column("MemPerc", "MEM %", memory_percent),
        Column("NetIO", "NET I/O", lambda r: pair(r, network_bytes(_sample(r)), 3)),
        Column("BlockIO", "BLOCK I/O", lambda r: pair(r, block_bytes(_sample(r)), 3)),
        Column("PIDs", "PIDS", lambda r: shown(r, str((_sample(r).get("pids_stats") or {}).get("current") or 0))),
    )
    return Listing(columns, ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"))


def _sample(row: Object) -> Object:
    sample: Object = row["Sample"] or {}
    return sample
