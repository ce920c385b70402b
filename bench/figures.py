"""From samples to numbers: percentiles, ratios, tables. Pure."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

# What docs and issues ask of our engine: measure, series, statistic, bound, unit; "<" means at most.
TARGETS = (
    ("cycle", "bridge total", "p50", "<", 50, 26),
    ("cycle", "bridge total", "p99", "<", 90, None),
    ("cycle", "none total", "p50", "<", 35, 16),
    ("cycle", "bridge start", "p50", "<", 35, 15),
    ("exec", "true", "p50", "<", 15, 8),
    ("crowd", "started per second", "p50", ">", 60, 120),
    ("crowd", "removed per second", "p50", ">", 80, None),
    ("stock_client", "docker run --rm", "p50", "<", 80, 50),
    ("memory", "idle MB", "p50", "<", 60, 40),
    ("memory", "MB per container", "p50", "<", 1.5, None),
)

Series = dict[str, list[float]]


def percentile(samples: Sequence[float], part: float) -> float:
    """The sample below which `part` (0 to 1) of the samples lie, between neighbours in proportion."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * part
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summary(samples: Sequence[float]) -> dict[str, float]:
    return {
        "p50": percentile(samples, 0.5),
        "p99": percentile(samples, 0.99),
        "least": min(samples),
        "rounds": len(samples),
    }


def timed(action: Callable[[], object]) -> float:
    """How long the action takes, in milliseconds."""
    before = perf_counter()
    action()
    return (perf_counter() - before) * 1000


def is_rate(name: str) -> bool:
    """Whether more is better."""
    return "per second" in name or name.endswith("MB/s")


def table(results: Mapping[str, Mapping[str, Mapping[str, dict[str, float]]]], first: str) -> str:
    """measure → engine → series → summary, as text; ratios are how many times better `first` is (p50)."""
    lines = []
    for measure, engines in results.items():
        names = list(dict.fromkeys(name for series in engines.values() for name in series))
        lines.append(f"\n{measure}")
        lines.append(f"  {'':<34}" + "".join(f"{engine:>28}" for engine in engines))
        for name in names:
            cells = []
            for engine, series in engines.items():
                cells.append(_cell(series.get(name), engines.get(first, {}).get(name), name, engine == first))
            lines.append(f"  {name:<34}" + "".join(f"{cell:>28}" for cell in cells))
    return "\n".join(lines) + "\n"


def _cell(
    mine: Mapping[str, float] | None, reference: Mapping[str, float] | None, name: str, is_reference: bool
) -> str:
    if not mine:
        return "-"
    text = f"{mine['p50']:.4g}" + (f" ({mine['p99']:.4g})" if mine["rounds"] > 1 else "")
    if is_reference or not reference or not reference["p50"] or not mine["p50"]:
        return text
    ratio = reference["p50"] / mine["p50"] if is_rate(name) else mine["p50"] / reference["p50"]
    return f"{text}  {ratio:.2g}x"


def verdicts(results: Mapping[str, Mapping[str, Mapping[str, dict[str, float]]]], engine: str) -> str:
    """Each target with its figure."""
    lines = ["", "targets"]
    for measure, name, statistic, sign, bound, stretch in TARGETS:
        figure = results.get(measure, {}).get(engine, {}).get(name, {}).get(statistic)
        if figure is None:
            continue
        met = figure <= bound if sign == "<" else figure >= bound
        better = stretch is not None and (figure <= stretch if sign == "<" else figure >= stretch)
        word = "met, stretch too" if better else "met" if met else "NOT met"
        lines.append(f"  {measure} {name} {statistic}: {figure:.4g} (target {sign} {bound:g}): {word}")
    return "\n".join(lines) + "\n"
