"""Wrong files and wrong flags through the real program: one error that says where and what, and not one request that
would change something reaches the daemon."""

import contextlib
import re
from collections.abc import Iterator

import pytest
from faults_compose import Victim

VERBS = (("up", "-d"), ("create",), ("run", "--rm", "a"), ("build",), ("pull",), ("down",))
KEPT = "services: {kept: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}}"
# The file, the line of the error (0: none of the file's) and what is said.
FILES: dict[str, tuple[str | bytes, int, str]] = {
    "syntax": ("services:\n  a: {image: i\n", 3, "did not find expected"),
    "tab": ("services:\n\ta: {image: i}\n", 2, "tab"),
    "key-twice": ("services:\n  a: {image: i}\n  a: {image: j}\n", 3, "already in line 2"),
    "empty": ("", 0, "empty compose file"),
    "list": ("- a\n", 1, "must be a mapping"),
    "null-service": ("services:\n  a:\n", 2, "services.a: must be a mapping"),
    "unknown-field": ("services:\n  a:\n    image: i\n    comand: x\n", 4, 'did you mean "command"?'),
    "unknown-top": ("servces:\n  a: {image: i}\n", 1, 'did you mean "services"?'),
    "type": ("services:\n  a:\n    image: i\n    ports: 80\n", 4, "ports: must be a list"),
    "port": ("services:\n  a:\n    image: i\n    ports: ['70000:80']\n", 4, '"70000"'),
    "duration": ("services:\n  a:\n    image: i\n    stop_grace_period: soon\n", 4, '"soon"'),
    "size": ("services:\n  a:\n    image: i\n    mem_limit: lots\n", 4, '"lots"'),
    "restart": ("services:\n  a:\n    image: i\n    restart: often\n", 4, '"often"'),
    "platform": ("services:\n  a:\n    image: i\n    platform: a/b/c/d\n", 4, '"a/b/c/d"'),
    "cycle": ("services:\n  a: {image: i, depends_on: [b]}\n  b: {image: i, depends_on: [a]}\n", 3, "a -> b -> a"),
    "dependency": ("services:\n  a:\n    image: i\n    depends_on: [aa]\n", 4, 'no service "aa"'),
    "condition": (
        "services:\n  a: {image: i}\n  b:\n    image: i\n    depends_on:\n      a: {condition: service_helthy}\n",
        6,
        'did you mean "service_healthy"?',
    ),
    "volume": (
        "services:\n  a:\n    image: i\n    volumes: ['date:/x']\nvolumes: {data: }\n",
        4,
        'did you mean "data"?',
    ),
    "network": ("services:\n  a:\n    image: i\n    networks: [bak]\nnetworks: {back: }\n", 4, 'did you mean "back"?'),
    "secret": ("services:\n  a:\n    image: i\n    secrets: [gone]\n", 4, 'no secret "gone"'),
    "variable": ("services:\n  a:\n    image: 'i:${GONE:?say it}'\n", 3, "say it"),
    "brace": ("services:\n  a:\n    image: 'i:${GONE'\n", 3, "interpolation"),
    "env-file": ("services:\n  a:\n    image: i\n    env_file: gone.env\n", 4, "gone.env"),
    "extends": ("services:\n  a:\n    extends: {service: gone}\n", 3, '"gone"'),
    "extends-file": ("services:\n  a:\n    extends: {file: gone.yaml, service: b}\n", 3, "gone.yaml"),
    "extends-cycle": ("services:\n  a: {extends: {service: b}}\n  b: {extends: {service: a}}\n", 3, "circle"),
    "include": ("include: [gone.yaml]\nservices:\n  a: {image: i}\n", 1, "gone.yaml"),
    "include-cycle": ("include: [compose.yaml]\nservices:\n  a: {image: i}\n", 1, "circle"),
    "no-image": ("services:\n  a:\n    command: x\n", 3, "neither an image nor a build"),
    "same-name": ("services:\n  a: {image: i, container_name: x}\n  b: {image: i, container_name: x}\n", 3, '"x"'),
    "scaled-name": ("services:\n  a: {image: i, container_name: x, scale: 2}\n", 2, '"x"'),
    "modes": ("services:\n  a:\n    image: i\n    network_mode: host\n    networks: [n]\nnetworks: {n: }\n", 4, "both"),
    "name": ("services:\n  'a b': {image: i}\n", 2, '"a b"'),
    "subnet": (
        "services:\n  a: {image: busybox, networks: [n]}\n"
        "networks:\n  n:\n    ipam: {config: [{subnet: 10.1.2.3.4/24}]}\n",
        5,
        "10.1.2.3.4/24",
    ),
    "update": ("services:\n  a:\n    image: i\n    deploy: {update_config: {order: x}}\n", 4, "start-first"),
    "provider": ("services:\n  a:\n    provider: {type: x}\n", 3, "unsupported: services.a.provider"),
    "latin": (b"services:\n  a: {image: b\xe9}\n", 2, "UTF-8"),
    "binary": (b"\x00\x01\x02", 1, "U+0000"),
    "check": ("services:\n  a:\n    image: i\n    healthcheck: {test: [RUN, x]}\n", 4, "CMD-SHELL"),
    "profile": ("services:\n  a: {image: i, depends_on: [b]}\n  b: {image: i, profiles: [p]}\n", 2, "profile p"),
    "anchor": ("services:\n  a: *gone\n", 2, "&gone"),
    "deep": ("a: " + "[" * 3000, 1, "deeper"),
}
# These matter to whoever is about to start something.
STARTED: dict[str, tuple[str, int, str]] = {
    "secret-file": ("services:\n  a: {image: i, secrets: [s]}\nsecrets:\n  s: {file: ./gone.txt}\n", 4, "gone.txt"),
    "secret-variable": ("services:\n  a: {image: i, secrets: [s]}\nsecrets:\n  s: {environment: GONE}\n", 4, "GONE"),
    "external": (
        "services:\n  a: {image: busybox, networks: [n, m]}\nnetworks:\n  n: {external: true, name: gone}\n  m:\n",
        4,
        "network gone declared as external, but could not be found",
    ),
    "external-volume": (
        "services:\n  a: {image: busybox, volumes: ['v:/v']}\nvolumes:\n  v: {external: true, name: gone}\n",
        4,
        'external volume "gone" not found',
    ),
}
RIGHT = "services: {a: {image: busybox}, b: {image: busybox}}"
FLAGS: dict[str, tuple[tuple[str, ...], str]] = {
    "verb": (("upp",), "upp"),
    "flag": (("up", "--detatch"), "--detatch"),
    "service": (("up", "-d", "aa"), "no such service: aa"),
    "services": (("down", "gone"), "gone"),
    "scale": (("up", "-d", "--scale", "a"), "a"),
    "scale-number": (("up", "-d", "--scale", "a=-1"), "a=-1"),
    "scale-service": (("up", "-d", "--scale", "gone=2"), "gone"),
    "scale-words": (("scale", "a=x"), "a=x"),
    "timeout": (("up", "-d", "--timeout", "soon"), "soon"),
    "pull": (("up", "-d", "--pull", "perhaps"), "perhaps"),
    "rmi": (("down", "--rmi", "some"), "some"),
    "contradiction": (("up", "-d", "--force-recreate", "--no-recreate"), "incompatible"),
    "context": (("-f", "context.yaml", "build"), "context.yaml:1:23: services.a.build.context: there is no folder"),
    "dockerfile": (
        ("-f", "dockerfile.yaml", "up", "-d", "--build"),
        "dockerfile.yaml:1:48: services.a.build.dockerfile",
    ),
    "wait": (("up", "--wait", "--no-start"), "incompatible"),
    "attach": (("up", "-d", "--attach", "a"), "incompatible"),
    "abort": (("up", "-d", "--abort-on-container-exit"), "incompatible"),
    "menu": (("up", "--menu"), "unsupported: --menu"),
    "file": (("-f", "gone.yaml", "up", "-d"), "gone.yaml"),
    "env-file": (("--env-file", "gone.env", "up", "-d"), "gone.env"),
    "project-name": (("-p", "Bad Name", "up", "-d"), "Bad Name"),
    "parallel": (("--parallel", "x", "up", "-d"), "x"),
    "progress": (("--progress", "loud", "up", "-d"), "loud"),
    "ansi": (("--ansi", "loud", "up", "-d"), "loud"),
    "run": (("run",), "requires at least 1 argument"),
    "run-service": (("run", "gone"), "gone"),
    "run-port": (("run", "-p", "x:y", "a"), "x:y"),
    "run-volume": (("run", "-v", "/a:/b:zz", "a"), "zz"),
    "run-variable": (("run", "--pull", "perhaps", "a"), "perhaps"),
    "build-argument": (("build", "--memory", "lots"), "lots"),
}


@contextlib.contextmanager
def untouched(project: Victim) -> Iterator[None]:
    """A project runs; afterwards it is as it was, and nobody asked for a change."""
    project.file(KEPT)
    project.compose("up", "-d")
    before, kept = project.state(), project.id("kept")
    project.gate.arm(-1, "", lambda: None)
    yield
    assert not project.gate.seen
    assert project.state() == before and project.id("kept") == kept


def complaint(project: Victim, *words: str) -> str:
    """What it says; it has to fail with one error."""
    with project.begun(*words) as process:
        output, errors = process.communicate(timeout=60)
    lines = [line for line in (output + errors).splitlines() if not line.startswith(("WARNING", "See '"))]
    assert process.returncode in (1, 2, 14, 15, 16, 125), (words, process.returncode, output, errors)
    assert len([line for line in lines if line.startswith("boxship")]) == 1, (words, lines)
    assert "Traceback" not in output + errors, errors
    return "\n".join(lines)


def refused(project: Victim, text: str | bytes, line: int, said: str, verb: tuple[str, ...]) -> None:
    path = project.folder / "compose.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    error = complaint(project, *verb)
    place = rf"boxship: {re.escape(str(path))}:{line}:\d+: " if line else ""
    assert re.match(place, error) and said in error, (verb, error)
    assert "\n" not in error, error


SAMPLE = ("syntax", "unknown-field", "network", "variable", "secret-file", "external")


def test_some_wrong_files_and_flags(victim: Victim) -> None:
    with untouched(victim):
        for place, name in enumerate(SAMPLE):
            verbs = VERBS[:3] if name in STARTED else VERBS
            refused(victim, *{**FILES, **STARTED}[name], verbs[place % len(verbs)])
        victim.file(RIGHT)
        for name in ("service", "contradiction"):
            words, said = FLAGS[name]
            assert said in complaint(victim, *words), name


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_wrong_files_touch_nothing(victim: Victim, verb: tuple[str, ...]) -> None:
    wrong = []
    with untouched(victim):
        for name, case in (FILES | (STARTED if verb in VERBS[:3] else {})).items():
            try:
                refused(victim, *case, verb)
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.slow
def test_wrong_flags_touch_nothing(victim: Victim) -> None:
    wrong = []
    with untouched(victim):
        victim.file(RIGHT)
        (victim.folder / "context.yaml").write_text("services: {a: {build: ./gone}}\n")
        (victim.folder / "dockerfile.yaml").write_text("services: {a: {build: {context: ., dockerfile: Gone}}}\n")
        for name, (words, said) in FLAGS.items():
            try:
                assert said in (error := complaint(victim, *words)), error
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.slow
def test_files_that_cannot_be_read(victim: Victim) -> None:
    with untouched(victim):
        path = victim.folder / "compose.yaml"
        path.unlink()
        path.mkdir()
        assert str(path) in complaint(victim, "up", "-d")
        path.rmdir()
        assert "no configuration file" in complaint(victim, "up", "-d")
        path.symlink_to("compose.yaml")
        assert "no configuration file" in complaint(victim, "up", "-d")
        path.unlink()
        path.write_text("services: {a: {image: busybox, env_file: [folder]}}")
        (victim.folder / "folder").mkdir()
        assert "folder" in complaint(victim, "up", "-d")
