"""What boxshipd's options about registries of others do: set in the TOML file, seen in `docker info` and in what the
registries are asked."""

import datetime
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from images_kit import config, layer
from remote_registry import Asked, FakeRegistry, Said

from boxship.errors import Invalid
from boxship.main.options import parse_arguments
from boxship.main.remotes import remote_settings
from boxship.pki import authority
from boxship.pki.names import subject_for
from daemons import Daemon, running_daemon

CERTIFICATES = Path("/etc/boxship/certs.d")


def own_address() -> str:
    """An address of this machine that is not loopback: what is forgiven to that is not forgiven to this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry(address=own_address()) as made:
        yield made


@pytest.fixture
def helper() -> Iterator[FakeRegistry]:
    """A mirror or a proxy on loopback."""
    with FakeRegistry() as made:
        yield made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def toml(home: Path, **values: Any) -> tuple[str, str]:
    """The options that name a file with these values."""
    path = home / "boxshipd.toml"
    path.write_text("".join(f"{name.replace('_', '-')} = {json.dumps(value)}\n" for name, value in values.items()))
    return "--config", str(path)


def put(registry: FakeRegistry, repository: str, tag: str = "1") -> str:
    layers = [layer("base"), layer("top", b"y" * 100_000)]
    return registry.add_image(repository, tag, layers, config(layers))


def info(daemon: Daemon) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(daemon.docker("info", "--format", "json").stdout)
    return shown


def text_of_info(daemon: Daemon) -> str:
    ours = daemon.boxship("info").stdout
    stock = daemon.docker("info").stdout
    for line in ours.splitlines():
        if any(word in line for word in ("Prox", "Insecure", "Mirrors", "http://", "/32", ".example")):
            assert line in stock.splitlines(), f"{line!r} is not in:\n{stock}"
    return ours


def test_mirrors(helper: FakeRegistry, tmp_path: Path) -> None:
    put(helper, "library/hello")
    put(helper, "team/app")
    helper.users = {"ann": "secret"}
    guarded = helper.url.replace("http://", "http://ann:secret@")
    options = toml(tmp_path, registry_mirror=[guarded], mirror=[f"reg.example={guarded}"])
    with running_daemon(tmp_path, *options, image=False) as daemon:
        assert "Downloaded newer image for hello:1" in daemon.docker("pull", "hello:1").stdout
        assert (
            "Downloaded newer image for reg.example/team/app:1"
            in daemon.boxship("pull", "reg.example/team/app:1").stdout
        )
        names = daemon.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
        assert sorted(names) == ["hello:1", "reg.example/team/app:1"]
        assert helper.count("GET", "^/v2/library/hello/blobs/") and helper.count("GET", "^/v2/team/app/manifests/1$")
        shown = info(daemon)
        assert shown["IndexServerAddress"].startswith("https://") and shown["IndexServerAddress"].endswith("/v1/")
        masked = f"http://xxxxx:xxxxx@{helper.host}/"
        assert shown["RegistryConfig"]["Mirrors"] == [masked]
        assert shown["RegistryConfig"]["IndexConfigs"]["reg.example"]["Mirrors"] == [masked]
        assert f"Registry Mirrors:\n  {masked}" in text_of_info(daemon)


def test_a_registry_that_is_insecure_on_the_network(registry: FakeRegistry, tmp_path: Path) -> None:
    put(registry, "app")
    name = f"{registry.host}/app:1"
    host = registry.host.partition(":")[0]
    (tmp_path / "strict").mkdir()
    with running_daemon(tmp_path / "strict", image=False) as daemon:
        refused = daemon.docker("pull", name, check=False)
        assert refused.returncode == 1 and f"https://{registry.host}/v2/" in refused.stderr
        assert not registry.asked and "/32" not in daemon.docker("info").stdout
    options = toml(tmp_path, insecure_registry=[f"{host}/32", "lab.example:5000"])
    with running_daemon(tmp_path, *options, image=False) as daemon:
        daemon.docker("pull", name)
        shown = info(daemon)["RegistryConfig"]
        assert shown["InsecureRegistryCIDRs"] == ["::1/128", "127.0.0.0/8", f"{host}/32"]
        assert [entry["Name"] for entry in shown["IndexConfigs"].values() if not entry["Secure"]] == [
            "lab.example:5000"
        ]
        text = text_of_info(daemon)
        assert f"  {host}/32\n" in text and "  lab.example:5000\n" in text
        # plain layers are sent as they are to loopback alone
        daemon.docker("tag", name, f"{registry.host}/copy:1")
        daemon.docker("push", f"{registry.host}/copy:1")
        document = json.loads(registry.manifests[("copy", "1")][1])
        assert {entry["mediaType"] for entry in document["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}


@pytest.mark.parametrize("kind", ["zstd", "gzip", "none"])
def test_compression_of_what_is_pushed(helper: FakeRegistry, tmp_path: Path, kind: str) -> None:
    put(helper, "app")
    with running_daemon(tmp_path, *toml(tmp_path, push_compression=kind), image=False) as daemon:
        daemon.docker("pull", f"{helper.host}/app:1")
        daemon.docker("tag", f"{helper.host}/app:1", f"{helper.host}/copy:1")
        daemon.docker("push", f"{helper.host}/copy:1")
        document = json.loads(helper.manifests[("copy", "1")][1])
        suffix = "" if kind == "none" else f"+{kind}"
        assert {entry["mediaType"] for entry in document["layers"]} == {
            f"application/vnd.oci.image.layer.v1.tar{suffix}"
        }
        identifier = daemon.docker("image", "inspect", "-f", "{{.Id}}", f"{helper.host}/app:1").stdout
        daemon.docker("rmi", "-f", identifier.strip())
        daemon.docker("pull", f"{helper.host}/copy:1")
        assert daemon.docker("image", "inspect", "-f", "{{.Id}}", f"{helper.host}/copy:1").stdout == identifier


@pytest.mark.parametrize("place", ["options", "environment"])
def test_proxies(
    registry: FakeRegistry, helper: FakeRegistry, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(registry, "app")
    host, name = registry.host.partition(":")[0], f"{registry.host}/app:1"

    def forward(asked: Asked) -> Said:
        target = asked.target.removeprefix(registry.url)
        return registry._answer(Asked(asked.method, target, asked.headers, asked.body))

    helper.rule("CONNECT", "", Said(502))
    helper.rule("*", "^http://", forward)
    proxy = helper.url.replace("http://", "http://ann:se%40cret@")
    values: dict[str, Any] = {"insecure_registry": [host]}
    if place == "options":
        values |= {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": ["elsewhere.example"]}
    else:
        for variable, value in (("HTTP_PROXY", proxy), ("https_proxy", proxy), ("NO_PROXY", "elsewhere.example")):
            monkeypatch.setenv(variable, value)
    with running_daemon(tmp_path, *toml(tmp_path, **values), image=False) as daemon:
        daemon.docker("pull", name)
        assert not registry.asked and helper.count("CONNECT", f"^{registry.host}$")
        known = {asked.headers.get("proxy-authorization") for asked in helper.asked}
        assert known == {"Basic YW5uOnNlQGNyZXQ="}
        shown = info(daemon)
        masked = f"http://xxxxx:xxxxx@{helper.host}"
        assert (shown["HttpProxy"], shown["HttpsProxy"], shown["NoProxy"]) == (masked, masked, "elsewhere.example")
        assert f"HTTPS Proxy: {masked}" in text_of_info(daemon)
        daemon.docker("rmi", name)
    if place == "options":
        values["no_proxy"] = [f"{host}/32"]
        with running_daemon(tmp_path, *toml(tmp_path, **values), image=False) as daemon:
            helper.asked.clear()
            daemon.docker("pull", name)
            assert registry.asked and not helper.asked
        nobody = f"127.0.0.1:{free_port()}"
        values |= {"no_proxy": [], "https_proxy": nobody}
        with running_daemon(tmp_path, *toml(tmp_path, **values), image=False) as daemon:
            refused = daemon.docker("pull", f"{registry.host}/other:1", check=False)
            assert f"proxyconnect tcp: dial tcp {nobody}: connect: connection refused" in refused.stderr


@pytest.mark.parametrize("place", ["option", "folder"])
def test_an_authority_of_a_registrys_own(tmp_path: Path, place: str) -> None:
    now, host = datetime.datetime.now(datetime.UTC), own_address()
    authority.create(tmp_path / "pki", "Test", now)
    server = authority.open_authority(tmp_path / "pki").issue_server(subject_for("registry", (host,)), now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server / "cert.pem", server / "key.pem")
    with FakeRegistry(context, address=host) as registry:
        put(registry, "app")
        values = {"registry_ca": [str(server / "ca.pem")]} if place == "option" else {}
        folder = CERTIFICATES / registry.host
        made = [one for one in (folder, *folder.parents) if not one.exists()]
        try:
            with running_daemon(tmp_path, *toml(tmp_path, **values), image=False) as daemon:
                if place == "folder":
                    refused = daemon.docker("pull", f"{registry.host}/app:1", check=False)
                    assert refused.returncode == 1 and "failed to verify certificate" in refused.stderr
                    assert not registry.asked
                    folder.mkdir(parents=True)
                    shutil.copy(server / "ca.pem", folder / "ca.crt")
                daemon.docker("pull", f"{registry.host}/app:1")
                assert registry.count("GET", "blobs/") == 3
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            for parent in made[1:]:
                if parent.exists():
                    parent.rmdir()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"insecure_registry": ["https://lab.example:5000"]}, "insecure-registry https://lab.example:5000"),
        ({"insecure_registry": ["lab.example/team"]}, "insecure-registry lab.example/team"),
        ({"registry_mirror": ["mirror.example"]}, "mirror mirror.example: write https://"),
        ({"registry_mirror": ["http://mirror.example"]}, "mirror http://mirror.example: plain HTTP"),
        ({"mirror": ["reg.example"]}, "mirror reg.example: write DOMAIN=URL"),
        ({"mirror": ["https://reg.example=https://mirror.example"]}, "mirror of https://reg.example"),
        ({"registry_ca": ["/nonexistent/ca.pem"]}, "registry-ca /nonexistent/ca.pem"),
        ({"push_compression": "rar"}, "push-compression rar"),
    ],
)
def test_what_cannot_be_meant_is_named_at_the_start(tmp_path: Path, values: dict[str, Any], named: str) -> None:
    options = parse_arguments(list(toml(tmp_path, **values)))
    with pytest.raises(Invalid, match=named):
        remote_settings(options, {})


def test_what_the_options_win_over(tmp_path: Path) -> None:
    given = {"http_proxy": "http://ours:1", "no_proxy": ["a.example", "10.0.0.0/8"]}
    options = parse_arguments(list(toml(tmp_path, **given)))
    around = {"HTTP_PROXY": "http://theirs:1", "HTTPS_PROXY": "http://theirs:2", "NO_PROXY": "b.example"}
    found = remote_settings(options, around).proxies
    assert (found.http, found.https, found.none_for) == (
        "http://ours:1",
        "http://theirs:2",
        ("a.example", "10.0.0.0/8"),
    )
