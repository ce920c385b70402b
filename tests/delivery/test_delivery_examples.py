"""The applications of examples/, used as their READMEs say: built, started, used, restarted, updated and taken down."""

import collections
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons import Daemon, free_port, running_daemon, until
from examples_kit import EXAMPLES, STOCK, Example, Visitors, fetch, load_debian, sections

ALL = ("counter", "voting", "balanced", "ghost", "backup", "three", "nodejs")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all applications, so that what they have in common is built once."""
    registry = f"127.0.0.1:{free_port()}"
    with running_daemon(tmp_path_factory.mktemp("examples"), "--host-ca", "--registry", registry) as daemon:
        load_debian(daemon)
        yield daemon


@pytest.fixture(params=["boxship", pytest.param("stock", marks=pytest.mark.slow)])
def program(request: pytest.FixtureRequest) -> str:
    if request.param == "stock" and not STOCK.exists():
        pytest.skip(f"{STOCK} is not there: tools/compose-peers.sh")
    return str(request.param)


def visits(page: str) -> list[int]:
    return [int(number) for number in re.findall(r"Visits: (\d+)", page)]


def test_counter(machine: Daemon, tmp_path: Path, program: str) -> None:
    counter = Example(machine, tmp_path, "counter", program, ports={"PORT": 8000})
    assert visits(counter.follow("Start")) == [1, 2]
    assert "<h1>Hello!</h1>" in counter.get().text
    assert visits(counter.follow("Restart")) == [4]
    assert counter.changed(lambda: counter.follow("New container")) == {"redis"}
    assert json.loads(counter.get("/count").text) == {"visits": 4}

    def greet() -> None:
        said = counter.follow("Change")
        assert "<h1>Welcome!</h1><p>Visits: 5</p>" in said

    assert counter.changed(greet) == {"web"}
    source = counter.folder / "web" / "app.py"
    source.write_text(source.read_text().replace("Visits:", "Visits so far:"))
    up = ("up", "--build", "--detach", "--wait")
    assert counter.changed(lambda: counter.compose(*up, GREETING="Welcome")) == {"web"}
    assert "Visits so far: 6" in counter.get().text
    assert counter.changed(lambda: counter.compose(*up, GREETING="Welcome")) == set()

    counter.compose("stop", "redis")
    missing = counter.get()
    assert (missing.status, missing.headers["Retry-After"]) == (503, "1")
    counter.compose("start", "redis")
    until(lambda: counter.get("/count").status == 200, 10, "the counter answers again")
    counter.take_down()


def test_balanced(machine: Daemon, tmp_path: Path, program: str) -> None:
    balanced = Example(machine, tmp_path, "balanced", program, ports={"PORT": 8080})

    def replicas(count: int = 60) -> set[str]:
        return {json.loads(balanced.get().text)["replica"] for _ in range(count)}

    said = balanced.follow("Start")
    assert said.count('"version":"1"') == 3
    ids = {name: identity for name, identity in balanced.containers().items() if name.startswith("app-")}
    assert replicas() == {identity[:12] for identity in ids.values()}

    with Visitors(balanced.url()) as visitors:
        balanced.follow("Lose one")
        lost = ids["app-2"][:12]
        until(lambda: lost not in replicas(10), 10, "the killed replica is out of the balance")
        balanced.follow("Bring it back")
        until(lambda: lost in replicas(10), 10, "the replica is back in the balance")
    assert not visitors.failures
    assert len(visitors.pages) > 50

    with Visitors(balanced.url()) as visitors:
        changed = balanced.changed(lambda: balanced.follow("Change"))
    assert {json.loads(balanced.get().text)["version"] for _ in range(20)} == {"2"}
    if program == "boxship":  # the stock program replaces all at once
        assert not visitors.failures
        assert changed == {"app"}
        served = collections.Counter(json.loads(page.text)["version"] for page in visitors.pages)
        assert served["1"] and served["2"]
    balanced.take_down()


@pytest.mark.slow
def test_three(machine: Daemon, tmp_path: Path, program: str) -> None:
    three = Example(machine, tmp_path, "three", program)
    assert '{"a lamp": "19.00 EUR", "a chair": "45.00 EUR", "a table": "129.00 EUR"}' in three.follow("Start")
    assert {three.get(port=port).status for port in (7004, 7005, 7006)} == {200}
    assert json.loads(three.get(port=7004).text)["2"] == "a chair"
    assert json.loads(three.get(port=7005).text)["2"] == "45.00 EUR"
    identifiers = {
        machine.docker("inspect", "--format", "{{.Image}}", identity).stdout for identity in three.containers().values()
    }
    assert len(identifiers) == 1
    assert "a lamp" in three.follow("Restart")
    changed = three.changed(lambda: three.follow("Change"))
    assert changed == {"prices"} or (program == "stock" and changed == {"prices", "shop"})
    assert json.loads(three.get(port=7006).text)["a table"] == "129.00 CHF"
    three.compose("stop", "prices")
    assert three.get(port=7006).status == 502
    three.compose("start", "prices")
    until(lambda: three.get(port=7006).status == 200, 10, "the shop has prices again")
    three.take_down()


@pytest.mark.slow
def test_voting(machine: Daemon, tmp_path: Path, program: str) -> None:
    voting = Example(machine, tmp_path, "voting", program, ports={"PORT": 5000, "RESULT_PORT": 5001})
    pages = voting.ports["PORT"], voting.ports["RESULT_PORT"]

    def vote(choice: str, cookie: str = "") -> str:
        """Vote as a new voter, or again as one; returns the cookie."""
        page = fetch(voting.url(), f"choice={choice}".encode(), headers={"Cookie": cookie} if cookie else {})
        assert (page.status, f"You chose {choice}." in page.text) == (200, True)
        return page.headers["Set-Cookie"].partition(";")[0]

    def result(**wanted: int) -> None:
        shown = lambda: json.loads(voting.get("/votes", pages[1]).text)  # noqa: E731
        until(lambda: voting.get("/votes", pages[1]).status == 200 and shown() == wanted, 20, f"the result is {wanted}")

    assert "You chose Cats." in voting.follow("Start")
    result(Cats=1, Dogs=0)
    voter = vote("Cats")
    result(Cats=2, Dogs=0)
    vote("Dogs", voter)  # another mind, not another vote
    result(Cats=1, Dogs=1)
    assert "<h1>2 votes</h1>" in voting.get("/", pages[1]).text
    assert fetch(voting.url(), b"choice=Mice").status == 400

    assert '{"Cats":1,"Dogs":1}' in voting.follow("Without a worker")
    result(Cats=1, Dogs=2)
    voting.follow("Restart")
    result(Cats=1, Dogs=2)
    for _ in range(20):
        vote("Dogs")
    result(Cats=1, Dogs=22)
    with pytest.raises(AssertionError):  # the back network leads nowhere else
        voting.compose(
            "exec", "-T", "worker", "python3", "-c", "import socket; socket.create_connection(('1.1.1.1', 80), 2)"
        )

    changed = voting.changed(lambda: voting.follow("Change"))
    assert changed == {"vote", "result"}
    result(Tea=1, Coffee=0)
    source = voting.folder / "worker" / "worker.py"
    source.write_text(source.read_text().replace("counted a vote", "took one more"))
    up = ("up", "--build", "--detach", "--wait")
    assert voting.changed(lambda: voting.compose(*up, CHOICES="Tea,Coffee")) == {"worker"}
    vote("Coffee")
    result(Tea=1, Coffee=1)
    assert "took one more" in voting.compose("logs", "worker")
    voting.take_down()


@pytest.mark.slow
def test_ghost(machine: Daemon, tmp_path: Path, program: str) -> None:
    ghost = Example(machine, tmp_path, "ghost", program, ports={"PORT": 2368})
    assert "<html" in ghost.follow("Start")
    written = ghost.follow("Write")
    assert ghost.url("/a-first-post/") in written
    assert "<p>Written through the admin API.</p>" in written
    assert "A first post" in ghost.get().text

    # The same, as a program elsewhere does it: a session, and a post with its cookie.
    kind = {"Content-Type": "application/json", "Origin": ghost.url("")}
    login = json.dumps({"username": "owner@example.com", "password": (ghost.folder / "password").read_text().strip()})
    session = fetch(ghost.url("/ghost/api/admin/session/"), login.encode(), headers=kind)
    assert session.status == 201
    post = {"title": "Another post", "html": "<p>From outside.</p>", "status": "published"}
    kind["Cookie"] = session.headers["Set-Cookie"].partition(";")[0]
    address = ghost.url("/ghost/api/admin/posts/?source=html")
    assert fetch(address, json.dumps({"posts": [post]}).encode(), headers=kind).status == 201
    assert "<p>From outside.</p>" in ghost.get("/another-post/").text

    said: list[str] = []
    assert ghost.changed(lambda: said.append(ghost.follow("Destroy"))) == {"blog"}
    assert "<p>Written through the admin API.</p>" in said[0]
    assert ghost.changed(lambda: ghost.follow("Change")) == {"blog"}
    ghost.follow("Restart")
    assert "<p>From outside.</p>" in ghost.get("/another-post/").text
    ghost.take_down()


@pytest.mark.slow
def test_backup(machine: Daemon, tmp_path: Path, program: str) -> None:
    backup = Example(machine, tmp_path, "backup", program, ports={"PORT": 8000})
    said = backup.follow("Start")
    assert "save" not in said.splitlines()[-1]
    assert set(backup.containers()) == {"notes-1", "database-1"}
    assert re.findall("<li>(.*)</li>", backup.get().text) == ["milk", "bread"]
    assert backup.follow("Save").count("saved 2 notes in /backups/notes-") == 2
    backup.post("/", text="after the backup")
    assert "3 notes are gone." in backup.follow("Lose everything")
    assert re.findall("<li>(.*)</li>", backup.get().text) == []
    assert "restored 2 notes from /backups/notes-" in backup.follow("Restore")
    assert re.findall("<li>(.*)</li>", backup.get().text) == ["milk", "bread"]
    assert backup.post("/", text="butter").status == 200  # and it goes on from there
    backup.follow("Restart")
    assert re.findall("<li>(.*)</li>", backup.get().text) == ["milk", "bread", "butter"]
    assert backup.changed(lambda: backup.follow("Change")) == {"notes"}
    assert "<h1>Shopping</h1>" in backup.get().text
    backup.take_down()


@pytest.mark.slow
def test_nodejs(machine: Daemon, tmp_path: Path, program: str) -> None:
    registry = machine.options[machine.options.index("--registry") + 1]
    nodejs = Example(machine, tmp_path, "nodejs", program, ports={"PORT": 3000}, registry=registry)
    image = f"{registry}/examples/nodejs:1"
    nodejs.follow("Build")
    built = machine.docker("image", "inspect", "--format", "{{.Id}}", image).stdout
    nodejs.follow("Remove")
    assert machine.docker("image", "inspect", image, check=False).returncode != 0
    assert "Hello Ada, this is Node.js v" in nodejs.follow("Start")
    assert machine.docker("image", "inspect", "--format", "{{.Id}}", image).stdout == built
    assert "Hello &lt;you&gt;," in nodejs.get("/?name=%3Cyou%3E").text
    assert nodejs.get("/elsewhere").status == 404
    nodejs.follow("Restart")
    assert nodejs.changed(lambda: nodejs.follow("Change")) == {"web"}
    assert "<h1>Harbour</h1>" in nodejs.get().text
    source = nodejs.folder / "page.html"
    source.write_text(source.read_text().replace("Hello", "Ahoy"))
    assert nodejs.changed(lambda: nodejs.compose("up", "--build", "--detach", "--wait", TITLE="Harbour")) == {"web"}
    assert "Ahoy world" in nodejs.get().text
    nodejs.take_down()


@pytest.mark.parametrize("name", ALL)
def test_every_example_says_how_to_use_it(name: str) -> None:
    readme = (EXAMPLES / name / "README.md").read_text()
    assert readme.startswith(f"# {name.capitalize()}\n")
    assert {"Start", "Change", "Take down"} <= sections(readme).keys()
    assert f"({name})" in (EXAMPLES / "README.md").read_text()
