"""What a container uses, read once."""

import msgspec


class StatsSample(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of a container's cgroups and interfaces. Processor times in nanoseconds, the rest in bytes."""

    time: int = 0
    cpu_total: int = 0
    cpu_user: int = 0
    cpu_system: int = 0
    cpu_per_core: tuple[int, ...] = ()
    cpu_periods: int = 0
    cpu_throttled_periods: int = 0
    cpu_throttled_time: int = 0
    system_cpu: int = 0
    online_cpus: int = 0
    memory_usage: int = 0
    memory_max_usage: int = 0
    memory_limit: int = 0
    memory_fail_count: int = 0
    memory_stats: dict[str, int] = {}
    pids: int = 0
    pids_limit: int = 0
    block_bytes: tuple[tuple[int, int, str, int], ...] = ()  # major, minor, operation, value
    block_operations: tuple[tuple[int, int, str, int], ...] = ()
    networks: dict[str, dict[str, int]] = {}  # by interface: rx_bytes, rx_packets, rx_errors, rx_dropped, tx_…
    cgroup_version: int = 1
