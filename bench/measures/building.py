"""Builds of three contexts, each through the engine's own client: cold, unchanged, and with one file changed.

Then each once more, cold, for the memory that it takes: looking at memory costs time, so timed builds go without.
"""

import shutil
from pathlib import Path

from bench.contexts import block
from bench.figures import Series, timed
from bench.peak import peak

REPEATS = 3


def measure(place, rounds: int) -> Series:
    engine = place.engine
    source = engine.folder.parent / "contexts"
    series: Series = {}
    for name in ("A", "B", "C"):
        context = engine.folder / f"context-{name}"
        shutil.copytree(source / name, context)
        try:
            image = f"built-{name.lower()}"
            for number in range(REPEATS if rounds >= 20 else 1):
                add(series, f"{name} cold", timed(lambda: engine.build(context, image)))  # noqa: B023
                add(series, f"{name} unchanged", timed(lambda: engine.build(context, image)))  # noqa: B023
                change(context, name, number)
                add(series, f"{name} one file changed", timed(lambda: engine.build(context, image)))  # noqa: B023
                engine.forget_builds(image)
            with peak(engine, series, f"{name} peak RSS MB"):
                engine.build(context, image)
            engine.forget_builds(image)
        finally:
            shutil.rmtree(context)
    return series


def add(series: Series, name: str, sample: float) -> None:
    series.setdefault(name, []).append(sample)


def change(context: Path, name: str, number: int) -> None:
    """Change one file that the build needs."""
    if name == "A":
        (context / "source" / "d07" / "f7.txt").write_text(f"changed {number}\n")
    elif name == "B":
        (context / "seed").write_text(f"seed {number}\n")
    else:
        with (context / "big").open("ab") as big:
            big.write(block(number))
