"""Taking in an image of 10,000 files from an archive, up to the moment in which a container could stand on it."""

from bench.figures import Series, timed
from bench.peak import peak

REPEATS = 3


def measure(place, rounds: int) -> Series:
    engine = place.engine
    archive = engine.folder.parent / "contexts" / "tree.tar"
    series: Series = {"load of 10,000 files": []}
    for _ in range(REPEATS if rounds >= 20 else 1):
        series["load of 10,000 files"].append(timed(lambda: engine.load(archive)))
        engine.remove_image("tree:latest")
    with peak(engine, series):
        engine.load(archive)
    engine.remove_image("tree:latest")
    return series
