"""`boxship-control simulate …`, which `boxship simulate` calls: its command line, its figures as a table or JSON."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from boxship.errors import BoxshipError, Invalid
from boxship.main.simulating.agents import run_pods
from boxship.main.simulating.load import KINDS
from boxship.main.simulating.phases import Figures, make_nodes, measure_api, schedule
from boxship.main.simulating.plane import Plane


def run(arguments: Sequence[str]) -> None:
    """Ends with status 1 and one line where it cannot."""
    given = _parser().parse_args(arguments)
    if given.seed is not None:
        raise SystemExit(replay(range(given.seed, given.seed + given.seeds), quiet=given.quiet))
    try:
        _check(given)
        figures = asyncio.run(_simulate(given))
    except BoxshipError as error:
        print(f"boxship: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except BaseExceptionGroup as group:
        print(f"boxship: {group.exceptions[0]}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(msgspec.json.encode(figures).decode() if given.format == "json" else "\n".join(_table(figures)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="boxship simulate", description="A cluster without containers, on a real control plane of its own."
    )
    parser.add_argument("--nodes", type=int, default=100, metavar="N", help="so many nodes (default 100)")
    parser.add_argument("--pods", type=int, default=1000, metavar="M", help="so many pods of each kind (default 1000)")
    parser.add_argument(
        "--kind", action="append", choices=KINDS, help="only pods of this kind (repeatable; default: all)"
    )
    parser.add_argument(
        "--run", type=int, default=0, metavar="M", help="then let real agents on all nodes run so many further pods"
    )
    parser.add_argument("--store", default="", metavar="STORE", help="as boxship-control has it (default: SQLite)")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="of the figures (default table)")
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="instead: controllers, scheduler and agents in a world that follows from N",
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="COUNT", help="so many seeds from that one on")
    parser.add_argument("--quiet", action="store_true", help="print the figures alone")
    return parser


def replay(seeds: Iterable[int], *, quiet: bool) -> int:
    """Each seed's world once, always in the same way; 1 where something was wrong in one of them."""
    from boxship.cluster.node.simulated.scenario import simulate
    from boxship.cluster.objects.schema.builtin import load
    from boxship.main.simulating.whole import simulate_whole

    schemas = load(None)
    failed = False
    for seed in seeds:
        for name, outcome in (("cluster", simulate_whole(seed, schemas=schemas)), ("node", simulate(seed))):
            if outcome.wrong or not quiet:
                counts = ", ".join(f"{count} {what}" for what, count in sorted(outcome.counts.items()))
                print(f"seed {seed}, {name}: {outcome.seconds:.1f} s of the world, {counts}", flush=True)
            for text in outcome.wrong:
                print(f"  {text}")
            failed = failed or bool(outcome.wrong)
    return int(failed)


def _check(given: argparse.Namespace) -> None:
    if not 1 <= given.nodes <= 20_000:
        raise Invalid("cannot simulate: --nodes lies between 1 and 20000")
    if given.pods < 0 or given.run < 0:
        raise Invalid("cannot simulate: --pods and --run are no negative numbers")


async def _simulate(given: argparse.Namespace) -> Figures:
    def say(text: str) -> None:
        if not given.quiet:
            print(text, file=sys.stderr, flush=True)

    figures = Figures(nodes=given.nodes)
    options = ("--store", given.store) if given.store else ()
    with tempfile.TemporaryDirectory(prefix="boxship-simulate-") as folder:
        plane = Plane(Path(folder), options)
        try:
            await make_nodes(plane, figures, say)
            for kind in given.kind or KINDS:
                count = min(given.pods, given.nodes) if kind == "anti-affinity" else given.pods
                if count:
                    await schedule(plane, kind, count, figures, say)
            await measure_api(plane, figures, say)
            if given.run:
                await run_pods(plane, given.run, figures, say)
        finally:
            await plane.close()
    return figures


def _table(figures: Figures) -> list[str]:
    rows = [f"{figures.nodes} nodes, {figures.pods} pods"]
    for rate in figures.scheduling:
        rows.append(f"scheduled {rate.kind:14} {rate.pods:7} pods {rate.rate:8.0f} a second")
    for name, (half, most) in figures.latencies.items():
        rows.append(f"{name:24} p50 {half:7.2f} ms   p99 {most:7.2f} ms")
    rows.append(f"memory of the control plane {figures.memory / 1e6:.0f} MB, start {figures.start_seconds:.1f} s")
    if figures.running_seconds:
        half, most = figures.running
        rows.append(f"created to running         p50 {half:7.2f} s    p99 {most:7.2f} s")
    return rows
