"""Verbs against a daemon that answers from a table: what they ask, what they print, and how they end."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_server import FakeDaemon, Handler

from boxship.cli.program import run

Run = Callable[..., tuple[int, str, str]]
NOW = 1_795_000_000
CONTAINER = {
    "Id": "0123456789abcdef" * 4,
    "Names": ["/web", "/other/link"],
    "Image": "busybox",
    "ImageID": "sha256:aa",
    "Command": "sh -c 'a long command line'",
    "Created": NOW,
    "Status": "Up 5 seconds (healthy)",
    "State": "running",
    "Ports": [{"PrivatePort": 80, "PublicPort": 8080, "IP": "0.0.0.0", "Type": "tcp"}],
    "Labels": {"a": "1"},
    "Mounts": [{"Type": "volume", "Name": "a-long-volume-name", "Driver": "local"}],
    "NetworkSettings": {"Networks": {"bridge": {}}},
}


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeDaemon]:
    daemon = FakeDaemon(tmp_path / "d")
    yield daemon
    daemon.stop()


@pytest.fixture
def boxship(fake: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("time.time", lambda: float(NOW + 300))

    def call(*words: str, **environment: str) -> tuple[int, str, str]:
        code = run(words, {"BOXSHIP_HOST": fake.url, **environment})
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_ps(fake: FakeDaemon, boxship: Run) -> None:
    fake.answers["GET /containers/json"] = (200, [CONTAINER])
    code, out, _ = boxship("ps")
    assert code == 0
    header = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")
    cells = ("0123456789ab", "busybox", '"sh -c \'a long comma…"', "5 minutes ago", "Up 5 seconds (healthy)")
    rows = [header, (*cells, "0.0.0.0:8080->80/tcp", "web")]
    widths = (15, 10, 25, 16, 25, 23, 0)
    lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    assert out.splitlines() == lines
    assert fake.asked[-1][2] == {}
    assert boxship("ps", "-q")[1] == "0123456789ab\n"
    assert boxship("ps", "-q", "--no-trunc")[1] == f"{CONTAINER['Id']}\n"
    form = "{{.Names}} {{.LocalVolumes}} {{.Mounts}} {{.Networks}}"
    assert boxship("ps", "--format", form)[1] == "web 1 a-long-volume-… bridge\n"
    assert boxship("ps", "--format", 'table {{.ID}}\t{{.Label "a"}}')[1] == "CONTAINER ID   a\n0123456789ab   1\n"
    assert json.loads(boxship("ps", "--format", "json")[1])["RunningFor"] == "5 minutes ago"


def test_ps_asks_for_what_its_flags_say(fake: FakeDaemon, boxship: Run) -> None:
    fake.answers["GET /containers/json"] = (200, [])
    boxship("ps", "-n", "3", "-s", "-f", "status=exited", "--filter=label=a=b")
    assert fake.asked[-1][2] == {
        "all": ["1"],
        "limit": ["3"],
        "size": ["1"],
        "filters": ['{"status":{"exited":true},"label":{"a=b":true}}'],
    }


def test_an_older_daemon_is_asked_again_in_its_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = FakeDaemon(tmp_path / "old", newest="1.41")
    try:
        old.answers["GET /volumes"] = (200, {"Volumes": [{"Name": "v", "Driver": "local", "Mountpoint": "/"}]})
        assert run(["volume", "ls", "-q"], {"DOCKER_HOST": old.url}) == 0
        assert capsys.readouterr().out == "v\n" and old.paths() == ["GET /volumes"]
    finally:
        old.stop()


def test_errors_are_the_daemons_words(fake: FakeDaemon, boxship: Run) -> None:
    fake.answers["DELETE /containers/a"] = (409, {"message": "it runs"})
    fake.answers["DELETE /containers/b"] = (204, None)
    code, out, err = boxship("rm", "a", "b", "c")
    assert (code, out) == (1, "b\n")
    assert err == "boxship: it runs\nboxship: No such thing: /containers/c\n"


def test_force_does_not_mind_what_is_missing(boxship: Run) -> None:
    assert boxship("rm", "-f", "c")[0] == 0
    assert boxship("volume", "rm", "-f", "c")[0] == 0


def test_no_daemon_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ps"], {"BOXSHIP_HOST": f"unix://{tmp_path}/none"}) == 1
    reason = "no such file or directory. Is the daemon running?"
    assert capsys.readouterr().err == f"boxship: cannot connect to unix://{tmp_path}/none: {reason}\n"


def test_the_flag_wins_over_the_environment(fake: FakeDaemon, boxship: Run) -> None:
    fake.answers["GET /containers/json"] = (200, [])
    assert boxship("-H", "unix:///nonexistent", "ps")[0] == 1
    assert boxship("ps", DOCKER_HOST="unix:///nonexistent")[0] == 0
    assert boxship("--host", fake.url, "ps", BOXSHIP_HOST="unix:///nonexistent")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["nope"], 1, "unknown command: boxship nope"),
        (["network", "nope"], 1, "unknown command: boxship network nope"),
        (["ps", "--nope"], 125, "unknown flag: --nope"),
        (["run", "--nope", "x"], 125, "unknown flag: --nope"),
        (["run"], 1, "'boxship run' requires at least 1 argument"),
        (["rename", "a"], 1, "'boxship rename' requires 2 arguments"),
        (["-H", "ssh://x", "ps"], 1, "unsupported: host 'ssh://x'"),
        (["-H", "tcp://x:y", "ps"], 1, "cannot use the host 'tcp://x:y'"),
        (["ps", "--filter", "x"], 125, 'invalid argument "x" for "-f, --filter" flag'),
        (["update", "x"], 1, "you must provide one or more flags"),
        (["completion", "tcsh"], 1, "unsupported: completion for tcsh"),
        (["run", "--pull", "often", "x"], 125, "invalid pull option: 'often'"),
        (["cp", "a", "b"], 1, "must specify at least one container source"),
        (["cp", "a:b", "c:d"], 1, "copying between containers is not supported"),
    ],
)
def test_mistakes_name_themselves(boxship: Run, words: list[str], code: int, text: str) -> None:
    got, _, err = boxship(*words)
    assert got == code and err.startswith(f"boxship: {text}")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/images/create", ["pull", "x"]),
        ("/images/x/push", ["push", "x"]),
        ("/auth", ["login", "-u", "ann", "-p", "secret"]),
    ],
)
def test_what_the_daemon_cannot_do_is_told_in_its_words(
    fake: FakeDaemon, boxship: Run, path: str, words: list[str]
) -> None:
    fake.answers[f"POST {path}"] = (501, {"message": "not yet: it comes later"})
    code, _, told = boxship(*words)
    assert code == 1 and told.endswith("boxship: not yet: it comes later\n")


def test_images_have_a_row_for_each_name(fake: FakeDaemon, boxship: Run) -> None:
    base = {"Created": NOW, "Size": 1_984_321, "Containers": -1, "SharedSize": -1, "RepoTags": [], "RepoDigests": []}
    named = {"RepoTags": ["r:5000/a:1", "r:5000/a:2"], "RepoDigests": ["r:5000/a@sha256:d"]}
    fake.answers["GET /images/json"] = (
        200,
        [
            {**base, **named, "Id": "sha256:" + "a" * 64},
            {**base, "Id": "sha256:" + "b" * 64, "Created": NOW + 10},
        ],
    )
    assert boxship("images")[1] == (
        "REPOSITORY   TAG       IMAGE ID       CREATED         SIZE\n"
        "<none>       <none>    bbbbbbbbbbbb   4 minutes ago   1.98MB\n"
        "r:5000/a     1         aaaaaaaaaaaa   5 minutes ago   1.98MB\n"
        "r:5000/a     2         aaaaaaaaaaaa   5 minutes ago   1.98MB\n"
    )
    assert boxship("images", "--format", "{{.Digest}}")[1] == "<none>\nsha256:d\nsha256:d\n"


def test_inspect_tells_what_is_missing_and_prints_the_rest(fake: FakeDaemon, boxship: Run) -> None:
    fake.answers["GET /containers/a/json"] = (200, {"Id": "1", "Name": "/a"})
    fake.answers["GET /images/x/y:1/json"] = (200, {"Id": "2"})
    code, out, err = boxship("inspect", "a", "x/y:1", "gone")
    assert code == 1 and json.loads(out) == [{"Id": "1", "Name": "/a"}, {"Id": "2"}]
    assert err == "boxship: No such object: gone\n"
    assert out.startswith('[\n    {\n        "Id": "1",\n')
    assert boxship("inspect", "-f", "{{.Name}}", "a")[1] == "/a\n"
    assert boxship("inspect", "--format", "json", "a")[1] == '[{"Id":"1","Name":"/a"}]\n'
    assert boxship("container", "inspect", "x/y:1")[0] == 1


def test_port(fake: FakeDaemon, boxship: Run) -> None:
    ports = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}], "9/udp": None}
    fake.answers["GET /containers/a/json"] = (200, {"NetworkSettings": {"Ports": ports}})
    assert boxship("port", "a")[1] == "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    assert boxship("port", "a", "80")[1] == "0.0.0.0:8080\n[::]:8080\n"
    assert boxship("port", "a", "9/udp")[::2] == (1, "boxship: no public port '9/udp' published for a\n")


def test_stop_and_kill_and_wait(fake: FakeDaemon, boxship: Run) -> None:
    fake.answers["POST /containers/a/stop"] = (304, None)
    fake.answers["POST /containers/a/kill"] = (204, None)
    fake.answers["POST /containers/a/wait"] = (200, {"StatusCode": 7})
    assert boxship("stop", "-t", "0", "-s", "INT", "a")[:2] == (0, "a\n")
    assert fake.asked[-1][2] == {"t": ["0"], "signal": ["INT"]}
    assert boxship("kill", "a")[:2] == (0, "a\n") and fake.asked[-1][2] == {"signal": ["KILL"]}
    assert boxship("wait", "a")[:2] == (0, "7\n")


def test_update_sends_only_what_was_asked_for(fake: FakeDaemon, boxship: Run) -> None:
    fake.answers["POST /containers/a/update"] = (200, {"Warnings": ["careful"]})
    assert boxship("update", "-m", "1m", "--restart", "always", "a") == (0, "a\n", "WARNING: careful\n")
    assert fake.asked[-1][3] == {"Memory": 1 << 20, "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}


def test_network_create_puts_addresses_where_they_belong(fake: FakeDaemon, boxship: Run) -> None:
    fake.answers["POST /networks/create"] = (201, {"Id": "n1", "Warning": ""})
    words = ["--subnet", "10.1.0.0/16", "--subnet", "fd00::/64", "--gateway", "10.1.0.1", "--ip-range", "10.1.2.0/24"]
    code, out, _ = boxship("network", "create", *words, "--aux-address", "x=10.1.0.9", "--internal", "-o", "k=v", "net")
    assert (code, out) == (0, "n1\n")
    body = fake.asked[-1][3]
    assert isinstance(body, dict)
    four = {"IPRange": "10.1.2.0/24", "Gateway": "10.1.0.1", "AuxiliaryAddresses": {"x": "10.1.0.9"}}
    assert body["IPAM"]["Config"] == [{"Subnet": "10.1.0.0/16", **four}, {"Subnet": "fd00::/64"}]
    assert body["Internal"] and body["Options"] == {"k": "v"} and "EnableIPv6" not in body


@pytest.mark.parametrize(
    "words",
    [
        ["--subnet", "x"],
        ["--gateway", "10.1.0.1"],
        ["--subnet", "10.1.0.0/16", "--subnet", "10.1.2.0/24"],
        ["--subnet", "10.1.0.0/16", "--gateway", "10.1.0.1", "--gateway", "10.1.0.2"],
        ["--subnet", "10.1.0.0/16", "--gateway", "::1"],
    ],
)
def test_network_create_refuses_addresses_that_do_not_fit(fake: FakeDaemon, boxship: Run, words: list[str]) -> None:
    assert boxship("network", "create", *words, "net")[0] == 1 and fake.asked == []


def test_prune_asks_first(fake: FakeDaemon, boxship: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.answers["POST /volumes/prune"] = (200, {"VolumesDeleted": ["v"], "SpaceReclaimed": 2048})
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert boxship("volume", "prune")[0] == 0 and fake.asked == []
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert boxship("volume", "prune")[1].endswith("[y/N] Deleted Volumes:\nv\n\nTotal reclaimed space: 2.048kB\n")
    boxship("volume", "prune", "-f", "-a", "--filter", "label=x")
    assert fake.asked[-1][2] == {"filters": ['{"label":{"x":true},"all":{"true":true}}']}


def test_system_prune_does_all_kinds(fake: FakeDaemon, boxship: Run) -> None:
    kinds = ("containers", "networks", "volumes", "images", "build")
    for kind in kinds:
        fake.answers[f"POST /{kind}/prune"] = (200, {"SpaceReclaimed": 1000})
    assert boxship("system", "prune", "-f", "--volumes", "-a")[1] == "Total reclaimed space: 4kB\n"
    assert fake.paths() == [f"POST /{kind}/prune" for kind in kinds]


def test_load_sends_the_file_and_prints_what_was_loaded(fake: FakeDaemon, boxship: Run, tmp_path: Path) -> None:
    fake.answers["POST /images/load"] = (200, b'{"stream":"Loaded image: x:1\\n"}\r\n')
    (tmp_path / "tar").write_bytes(b"t" * 700_000)
    code = boxship("load", "-i", str(tmp_path / "tar"))[0]
    assert code == 0
    assert fake.asked[-1][3] == b"t" * 700_000 and fake.asked[-1][2] == {"quiet": ["1"]}
    fake.answers["POST /images/load"] = (200, b'{"errorDetail":{"message":"broken"},"error":"broken"}\r\n')
    assert boxship("load", "-i", str(tmp_path / "tar"))[::2] == (1, "boxship: broken\n")
    assert boxship("load", "-i", str(tmp_path / "none"))[0] == 1


def test_import_tells_the_name_and_the_changes(fake: FakeDaemon, boxship: Run, tmp_path: Path) -> None:
    fake.answers["POST /images/create"] = (200, b'{"status":"sha256:1"}\r\n')
    (tmp_path / "tar").write_bytes(b"t")
    words = ["-c", "CMD x", "-c", "ENV A=b", "-m", "why"]
    assert boxship("import", *words, str(tmp_path / "tar"), "host:5000/a:1")[0] == 0
    assert fake.asked[-1][2] == {
        "fromSrc": ["-"],
        "repo": ["host:5000/a"],
        "tag": ["1"],
        "message": ["why"],
        "changes": ["CMD x", "ENV A=b"],
    }


def test_a_file_is_written_whole_or_not_at_all(fake: FakeDaemon, boxship: Run, tmp_path: Path) -> None:
    def broken(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    fake.answers["GET /containers/a/export"] = (200, b"whole")
    assert boxship("export", "-o", str(tmp_path / "out"), "a")[0] == 0
    fake.answers["GET /containers/a/export"] = broken
    assert boxship("export", "-o", str(tmp_path / "out"), "a")[0] == 1
    assert (tmp_path / "out").read_bytes() == b"whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "out"]


def test_events_print_their_attributes_sorted(fake: FakeDaemon, boxship: Run) -> None:
    actor = {"ID": "1", "Attributes": {"name": "a", "exitCode": "3"}}
    event = {"Type": "container", "Action": "die", "Actor": actor, "time": 1, "timeNano": 1_000_000_002}
    fake.answers["GET /events"] = (200, event)
    out = boxship("events", "--since", "10m", "-f", "type=container")[1]
    assert out.partition(".")[2].partition(" ")[2] == "container die 1 (exitCode=3, name=a)\n"
    assert fake.asked[-1][2]["since"] == [f"{NOW - 300}.000000000"]
    form = "{{.Type}} {{.Actor.Attributes.name}} {{.TimeNano}}"
    assert boxship("events", "--format", form)[1] == "container a 1000000002\n"


def test_version_names_both_sides(fake: FakeDaemon, boxship: Run) -> None:
    numbers = {"Version": "9", "ApiVersion": "1.51", "MinAPIVersion": "1.24"}
    fake.answers["GET /version"] = (200, {**numbers, "Os": "linux", "Arch": "amd64"})
    out = boxship("version")[1]
    assert " API version:       1.51\n" in out and "  API version:      1.51 (minimum version 1.24)\n" in out
    assert boxship("version", "--format", "{{.Server.Version}} {{.Server.APIVersion}}")[1] == "9 1.51\n"
    assert boxship("--version")[1].startswith("Boxship version ")


def test_history_and_top_and_diff(fake: FakeDaemon, boxship: Run) -> None:
    steps = [{"Id": "sha256:" + "a" * 64, "Created": NOW, "CreatedBy": "x\ty", "Size": 5, "Comment": "c"}]
    fake.answers["GET /images/i/history"] = (200, steps)
    assert boxship("history", "i")[1].splitlines()[1].split() == [*("a" * 12, "5", "minutes", "ago"), *"xy", "5B", "c"]
    steps = [{**steps[0], "Created": 0}]
    fake.answers["GET /images/i/history"] = (200, steps)
    assert boxship("history", "i")[1].split()[6:9] == ["a" * 12, "N/A", "x"]
    assert boxship("history", "--human=false", "i")[1].split()[1:3] == ["CREATED", "AT"]
    fake.answers["GET /containers/a/top"] = (200, {"Titles": ["PID", "CMD"], "Processes": [["1", "sh -c x"]]})
    assert boxship("top", "a", "-o", "pid")[1] == "PID                 CMD\n1                   sh -c x\n"
    assert fake.asked[-1][2] == {"ps_args": ["-o pid"]}
    changes = [{"Kind": kind, "Path": f"/{kind}"} for kind in range(3)]
    fake.answers["GET /containers/a/changes"] = (200, changes)
    assert boxship("diff", "a")[1] == "C /0\nA /1\nD /2\n"
    fake.answers["GET /containers/a/changes"] = (200, b"null")
    assert boxship("diff", "a")[1] == ""


def test_create_pulls_what_is_missing_once(fake: FakeDaemon, boxship: Run, tmp_path: Path) -> None:
    answers = [(404, {"message": "No such image: x:latest"}), (201, {"Id": "c1", "Warnings": ["hm"]})]
    fake.answers["POST /containers/create"] = lambda handler: handler.reply(*answers.pop(0))
    fake.answers["POST /images/create"] = (200, b'{"status":"Pulling"}\r\n')
    code, out, err = boxship("create", "--cidfile", str(tmp_path / "cid"), "--name", "n", "x")
    assert (code, out, (tmp_path / "cid").read_text()) == (0, "c1\n", "c1")
    assert "Unable to find image 'x:latest' locally\n" in err and err.endswith("WARNING: hm\n")
    assert fake.paths() == ["POST /containers/create", "POST /images/create", "POST /containers/create"]
    assert "container ID file found" in boxship("create", "--cidfile", str(tmp_path / "cid"), "x")[2]


def test_never_pull_means_never(fake: FakeDaemon, boxship: Run) -> None:
    fake.answers["POST /containers/create"] = (404, {"message": "No such image: x:latest"})
    assert boxship("run", "--pull", "never", "x")[::2] == (125, "boxship: No such image: x:latest\n")
    assert fake.paths() == ["POST /containers/create"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([""], {"ps", "run", "container", "why"}),
        (["-"], {"--host", "--tls"}),
        (["volume", ""], {"ls", "rm", "create"}),
        (["rm", ""], {"web", "other/link"}),
        (["-H", "unix:///x", "rm", "w"], {"web"}),
        (["rm", "--fo"], {"--force"}),
        (["run", "--network", ""], {"n1"}),
        (["run", "-it", "--volumes-from", ""], {"web"}),
        (["kill", "-s", "T"], {"TERM"}),
        (["export", "-o", ""], {":files"}),
        (["cp", ""], {"web:", ":files"}),
        (["network", "connect", "n1", ""], {"web"}),
        (["network", "connect", "n1", "web", ""], set()),
        (["nope", ""], set()),
        (["run", "image", "-"], set()),
    ],
)
def test_completes(fake: FakeDaemon, boxship: Run, words: list[str], wanted: set[str]) -> None:
    fake.answers["GET /containers/json"] = (200, [CONTAINER])
    fake.answers["GET /networks"] = (200, [{"Name": "n1"}])
    found = set(boxship("__complete", "--", *words)[1].splitlines())
    assert wanted <= found if wanted else not found


def test_completing_without_a_daemon_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["__complete", "--", "rm", ""], {"BOXSHIP_HOST": "unix:///nonexistent"}) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_builder_du_sums_up(fake: FakeDaemon, boxship: Run) -> None:
    records = [
        {"ID": "a" * 25, "Type": "regular", "Shared": True, "Size": 3000, "UsageCount": 2, "Description": "RUN x"},
        {"ID": "b" * 25, "Type": "regular", "InUse": True, "Size": 1000, "LastUsedAt": "2020-01-01T00:00:00Z"},
        {"ID": "c" * 25, "Type": "exec.cachemount", "Size": 500},
    ]
    fake.answers["GET /system/df"] = (200, {"BuildCache": records})
    lines = boxship("builder", "du")[1].splitlines()
    assert lines[0].split() == ["ID", "TYPE", "RECLAIMABLE", "SHARED", "SIZE", "LAST", "USED", "USES", "DESCRIPTION"]
    assert lines[1].startswith("a" * 19 + "…") and lines[1].endswith("RUN x")
    assert lines[-4:] == ["Shared:      3kB", "Private:     1.5kB", "Reclaimable: 3.5kB", "Total:       4.5kB"]
    assert len(boxship("builder", "du", "--format", "json")[1].splitlines()) == 3
    assert fake.asked[-1][2] == {"type": ["build-cache"]}
