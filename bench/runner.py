"""The program inside a cell: starts its engine, then takes one measure for each line on stdin.

Answers with one line of JSON each. Usage (by cell.py): python -m bench.runner ENGINE FOLDER
"""

import json
import subprocess
import sys
import traceback
from pathlib import Path

from bench.cell import World
from bench.engines import ENGINES, Engine
from bench.measures import MEASURES


class Place:
    """What a measure is given: the engine and the world around it."""

    def __init__(self, engine: Engine, world: World) -> None:
        self.engine = engine
        self.world = world


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    # Places where engines leave marks: each cell has its own, empty.
    for place in ("/dev/shm", "/run/netns", "/run/containers", "/var/lib/cni", "/run/docker"):
        if Path(place).is_dir():
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    engine = ENGINES[name](folder)
    try:
        engine.prepare()
        place = Place(engine, World())
        engine.start()
        engine.load_image((folder.parent / "image.tar").read_bytes())
        answer({"ready": True})
    except Exception as error:
        traceback.print_exc()
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer({"series": MEASURES[request["measure"]](place, request["rounds"])})
        except Exception as error:
            traceback.print_exc()
            answer({"error": f"{type(error).__name__}: {error}"})
    engine.stop()


def answer(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
