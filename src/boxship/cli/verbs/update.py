"""boxship update: change the limits and the restart policy of containers, also while they run."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.daemon import Object
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag, Options
from boxship.cli.resource_options import restart_policy
from boxship.cli.targets import for_each
from boxship.spec.quantity import parse_processors

# flag: the API's field
NUMBERS = {
    "blkio-weight": "BlkioWeight",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares",
    "kernel-memory": "KernelMemory",
    "memory": "Memory",
    "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap",
    "pids-limit": "PidsLimit",
}
TEXTS = {"cpuset-cpus": "CpusetCpus", "cpuset-mems": "CpusetMems"}
COMMAND = Command(
    "CONTAINER [CONTAINER...]",
    (
        Flag("--blkio-weight int", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
        Flag("--cpu-period int", "Limit CPU CFS (Completely Fair Scheduler) period"),
        Flag("--cpu-quota int", "Limit CPU CFS (Completely Fair Scheduler) quota"),
        Flag("--cpu-rt-period int", "Limit the CPU real-time period in microseconds"),
        Flag("--cpu-rt-runtime int", "Limit the CPU real-time runtime in microseconds"),
        Flag("-c, --cpu-shares int", "CPU shares (relative weight)"),
        Flag("--cpus string", "Number of CPUs"),
        Flag("--cpuset-cpus string", "CPUs in which to allow execution (0-3, 0,1)"),
        Flag("--cpuset-mems string", "MEMs in which to allow execution (0-3, 0,1)"),
        Flag("--kernel-memory bytes", ""),
        Flag("-m, --memory bytes", "Memory limit"),
        Flag("--memory-reservation bytes", "Memory soft limit"),
        Flag("--memory-swap bytes", "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
        Flag("--pids-limit int", "Tune container pids limit (set -1 for unlimited)"),
        Flag("--restart string", "Restart policy to apply when a container exits"),
    ),
    least=1,
    most=None,
    completes=("containers",),
)


def update_body(options: Options) -> Object:
    """Only what was asked for: the rest stays as it is."""
    body: Object = {field: options.number(flag) for flag, field in NUMBERS.items() if options.given(flag)}
    body |= {field: options.text(flag) for flag, field in TEXTS.items() if options.given(flag)}
    if options.given("cpus"):
        body["NanoCpus"] = parse_processors(options.text("cpus"))
    if options.given("restart"):
        body["RestartPolicy"] = restart_policy(options.text("restart"))
    return body


def run(call: Call) -> int:
    body = update_body(call.options)
    if not body:
        raise Failure("you must provide one or more flags when using this command")

    def update(name: str) -> None:
        answer = call.daemon.post(f"/containers/{escape(name)}/update", body=body)
        for warning in (answer or {}).get("Warnings") or []:
            call.warn(f"WARNING: {warning}")

    return for_each(call, call.arguments, update)
