"""Projects of several files (-f, overrides, extends, include, .env): the model is the stock program's, of every release
that was unpacked."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from compose_cases_kit import Disk

from boxship.compose.load import load
from boxship.compose.loading import LoadRequest
from boxship.compose.normal import used
from boxship.compose.printing import config_json

STOCK = sorted((Path(__file__).parent.parent.parent / "build/compose").glob("v2*/docker-compose"))
ENVIRONMENT = {"HOME": "/home/user", "PATH": "/usr/bin:/bin", "H": "home"}
SAMPLE = 8  # every so many projects one is compared in the fast tests too

W = "services:\n  w:\n    image: x\n"
TOP = "networks: {net: {}, other: {}}\nvolumes: {vol: {}, more: {}}\nsecrets: {sec: {file: s}}\n"


def over(base: str, override: str) -> dict[str, str]:
    """A file and its override, both about one service."""
    return {"compose.yaml": f"{TOP}{W}    {base}\n", "compose.override.yaml": f"services:\n  w:\n    {override}\n"}


PROJECTS: list[dict[str, str]] = [
    over("environment: {A: 1, B: 2}", "environment: [B=3, C, H]"),
    over("ports: ['8080:80', '443']", "ports: ['8080:80', '8081:80', '53:53/udp']"),
    over("volumes: ['./a:/x:ro', 'vol:/y']", "volumes: ['more:/x', '/z']"),
    over("command: a b", "command: [c]"),
    over("healthcheck: {test: [CMD, a], retries: 2}", "healthcheck: {test: b, interval: 1m}"),
    over("build: {context: a, args: [A=1, B], tags: [t]}", "build: {dockerfile: D, args: {A: 2}, tags: [t, u]}"),
    over("logging: {driver: a, options: {x: '1'}}", "logging: {driver: b, options: {y: '1'}}"),
    over("networks: [net]", "networks: {other: {aliases: [a]}, net: {priority: 2}}"),
    over("dns: 1.1.1.1", "dns: [8.8.8.8, 1.1.1.1]"),
    over("labels: {a: 1}", "labels: {b: 2, a: !reset null}"),
    over("ports: ['8080:80']", "ports: !override ['8081:80']"),
    over("deploy: {replicas: 2, resources: {limits: {cpus: '1'}}}", "deploy: {resources: {limits: {memory: 1g}}}"),
    over("extra_hosts: ['a:1.1.1.1']", "extra_hosts: {a: 2.2.2.2, b: 3.3.3.3}"),
    over("ulimits: {nproc: 1, nofile: {soft: 1, hard: 2}}", "ulimits: {nproc: {soft: 3, hard: 4}}"),
    over("secrets: [sec]", "secrets: [{source: sec, uid: '5'}]"),
    {
        "compose.yaml": f"{W}    ports: ['80']\n    environment: {{A: 1}}\n  v:\n    extends: w\n    ports: ['81']\n"
        "    environment: [B=2]\n  u: {extends: {service: v}, ports: !reset []}\n",
    },
    {
        "compose.yaml": "services:\n  b: {extends: {file: sub/base.yml, service: a}, volumes: ['./own:/own']}\n",
        "sub/base.yml": "services:\n  a: {extends: {file: ../other/o.yml, service: z}, volumes: ['./d:/d'],"
        " env_file: e.env}",
        "sub/e.env": "A=1\nB=\"$A $H\" # c\nexport C='$A'\n",
        "other/o.yml": "services:\n  z: {build: {context: ., args: [A]}, volumes: ['../z:/z', '/abs:/abs']}\n",
    },
    {
        "compose.yaml": "include: [sub/i.yml]\nservices:\n  a: {image: 'v${V-unset}', depends_on: [b]}\n",
        "sub/i.yml": "name: other\nservices:\n  b: {build: ctx, image: 'v${V}${COMPOSE_PROJECT_NAME}', "
        "volumes: ['./d:/d', 'vol:/n'], secrets: [sec]}\nvolumes: {vol: {}}\nsecrets: {sec: {file: s.txt}}\n",
        "sub/.env": "V=1",
    },
    {
        "compose.yaml": "include:\n- path: [sub/i.yml, o.yml]\n  project_directory: other\n  env_file: [a.env, b.env]\n"
        "services: {a: {image: x}}\n",
        "sub/i.yml": "services:\n  b: {build: ., image: '${V}${W}', ports: ['80']}\n",
        "o.yml": "services:\n  b: {ports: ['81'], build: {dockerfile: D}}\n",
        "a.env": "V=1\nW=2",
        "b.env": "W=3$V",
        "other/here": "",
    },
    {
        "compose.yaml": "include: [i/i.yml, j/j.yml]\nservices: {a: {image: x}}\n",
        "i/i.yml": "include: [../k/k.yml]\nservices: {b: {extends: {file: deep/o.yml, service: q}}}\n",
        "i/deep/o.yml": "services: {q: {build: ., volumes: ['./a:/a']}}\n",
        "j/j.yml": "include: [../k/k.yml]\nservices: {c: {image: y}}\n",
        "k/k.yml": "services: {k: {build: .}}\n",
    },
    {
        "compose.yaml": "include: [i.yml]\nservices: {a: {image: x}}\n",
        "i.yml": "services: {b: {image: y, ports: ['80'], user: u}}\n",
        "compose.override.yaml": "services: {b: {ports: !reset [], user: v}}\n",
    },
    {
        "compose.yaml": "name: named-$H\nx-base: &base {image: x, labels: {a: 1}}\nservices:\n"
        "  a: {<<: *base, user: u}\n  b:\n    <<: [*base]\n    image: ${V:-y}\n---\nservices: {b: {tty: true}}\n",
        ".env": "V=dot\n",
    },
]


def write(files: dict[str, str], folder: Path) -> Path:
    place = folder / "demo"
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


def ours(place: Path) -> Any:
    project = load(LoadRequest(start=str(place), environment=ENVIRONMENT), Disk())
    return json.loads(config_json(used(project)))


def stock(program: Path, place: Path) -> Any:
    done = subprocess.run(
        [program, "config", "--format", "json"], cwd=place, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not STOCK, reason="tools/compose-peers.sh unpacks the stock program")
@pytest.mark.parametrize("program", STOCK, ids=lambda program: program.parent.name)
@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[pytest.mark.slow] if n % SAMPLE else []) for n in range(len(PROJECTS))]
)
def test_a_project_of_several_files_is_the_stock_programs(number: int, program: Path, tmp_path: Path) -> None:
    place = write(PROJECTS[number], tmp_path)
    assert ours(place) == stock(program, place)


def test_every_project_can_be_loaded(tmp_path: Path) -> None:
    for number, files in enumerate(PROJECTS):
        assert ours(write(files, tmp_path / str(number)))["services"]
