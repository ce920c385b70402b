"""`make bench`: each measure on each engine in turn, so that all of them meet the same machine."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench import contexts
from bench.cell import Cell, control_groups, remove_control_groups
from bench.engines import ENGINES
from bench.figures import summary, table, verdicts
from bench.measures import MEASURES, NEEDS

BUSY = 2.0  # a load above this makes figures doubtful


def main() -> int:
    options = parse()
    if os.geteuid() != 0:
        print("the bench needs root", file=sys.stderr)
        return 1
    versions = {name: ENGINES[name].version() for name in options.engine}
    chosen = [name for name in options.engine if versions[name]]
    for name in set(options.engine) - set(chosen):
        print(f"{name}: not installed (make bench-peers)")
    if os.getloadavg()[0] > BUSY:
        print(
            f"warning: the machine is busy (load {os.getloadavg()[0]:.1f}); figures will be doubtful", file=sys.stderr
        )
    groups = control_groups()
    folder = Path(tempfile.mkdtemp(prefix="boxship-bench-", dir="/var/lib"))
    cells: dict[str, Cell] = {}
    try:
        program = str(Path(sys.executable).with_name("boxship"))
        image = folder / "image.tar"
        if not options.measure or {NEEDS.get(name) for name in options.measure} & {"builds", "images"}:
            contexts.write_all(folder / "contexts")
        subprocess.run([program, "base", "busybox", "--quiet", "--output", str(image)], check=True)
        for name in chosen:
            (folder / name).mkdir()
            try:
                cells[name] = Cell(name, folder / name)
            except RuntimeError as error:
                print(f"{name}: left out: {error}", file=sys.stderr)
                continue
            print(f"{name}: {versions[name]}", flush=True)
        results = take(cells, options.measure or list(MEASURES), options.rounds)
    finally:
        for cell in cells.values():
            cell.close()
        shutil.rmtree(folder, ignore_errors=True)
        for group in remove_control_groups(groups):
            print(f"left behind: {group}", file=sys.stderr)
    print(table(results, "boxship") + verdicts(results, "boxship"))
    print("p50 (p99); milliseconds unless said; Nx: how many times better boxship's p50 is")
    write(options.json, versions, results)
    return 0


def take(cells: dict[str, Cell], measures: list[str], rounds: int) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    results: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for measure in measures:
        for name, cell in cells.items():
            if NEEDS.get(measure, "containers") not in ENGINES[name].offers:
                continue
            print(f"measuring {measure} on {name}", file=sys.stderr, flush=True)
            try:
                series = cell.ask(measure, rounds)
            except RuntimeError as error:
                print(f"{measure} on {name}: {error}", file=sys.stderr)
                continue
            results.setdefault(measure, {})[name] = {key: summary(samples) for key, samples in series.items()}
    return results


def write(path: Path, versions: dict[str, str], results: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "engines": versions,
    }
    path.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    print(f"written to {path}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure engines beside each other.")
    parser.add_argument("measure", nargs="*", choices=[*MEASURES, []], help="what to measure (default: everything)")
    parser.add_argument("--engine", action="append", choices=list(ENGINES), help="only these engines (repeatable)")
    parser.add_argument("--rounds", type=int, default=100, help="rounds of each measure (default 100)")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where the figures are written")
    options = parser.parse_args()
    options.engine = options.engine or list(ENGINES)
    return options


if __name__ == "__main__":
    sys.exit(main())
