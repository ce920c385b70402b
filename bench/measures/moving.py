"""Push and pull of an image of 500 MB in 8 layers, on loopback, to Debian's docker-registry beside the engine.

Boxship's own registry serves from the store that the engine uses; pushing to it and pulling from it are measured too.
The memory is looked at in a last round that is not timed.
"""

from bench.contexts import BIG_MB
from bench.engines import Distribution
from bench.figures import Series, timed
from bench.peak import peak

REPEATS = 3


def measure(place, rounds: int) -> Series:
    engine = place.engine
    folder = engine.folder / "peer"
    series: Series = {}
    context = engine.folder.parent / "contexts" / "layers"
    for number in range(REPEATS if rounds >= 20 else 1):
        (folder / str(number)).mkdir(parents=True)
        registry = Distribution(folder / str(number))
        registry.prepare()
        registry.start()
        try:
            move(engine, context, f"{registry.registry}/moved:latest", "docker-registry", series)
            if number == 0:
                with peak(engine, series):
                    move(engine, context, f"{registry.registry}/weighed:latest", "docker-registry", {})
        finally:
            registry.stop()
    if hasattr(engine, "registry"):
        move(engine, context, f"{engine.registry}/moved:latest", "own registry", series)
    return series


def move(engine, context, name: str, target: str, series: Series) -> None:
    engine.build(context, name)
    push = timed(lambda: engine.push(name))
    engine.forget_builds(name)
    pull = timed(lambda: engine.pull(name))
    engine.remove_image(name)
    series.setdefault(f"push of {BIG_MB} MB, {target}", []).append(push)
    series.setdefault(f"pull of {BIG_MB} MB, {target}", []).append(pull)
