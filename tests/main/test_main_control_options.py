"""boxship-control's options: what is refused by name, what is filled in; its certificates while it runs."""

import datetime
from pathlib import Path

import pytest

from boxship.errors import Invalid, Unsupported
from boxship.main.control_certificates import Certificates
from boxship.main.control_options import advertised, chosen_plugins, history_seconds, parse_arguments
from boxship.pki.cluster import open_authority


def test_plugins_that_are_not_on_by_themselves(tmp_path: Path) -> None:
    assert chosen_plugins(parse_arguments(["--data-root", str(tmp_path)])) == ()
    words = ["--data-root", str(tmp_path), "--enable-admission-plugins", "DenyServiceExternalIPs"]
    assert chosen_plugins(parse_arguments(words)) == ("DenyServiceExternalIPs",)
    with pytest.raises(Unsupported, match="unsupported: enable-admission-plugins AlwaysPullImages"):
        parse_arguments([*words[:-1], "DenyServiceExternalIPs,AlwaysPullImages"])


def test_defaults_follow_from_each_other(tmp_path: Path) -> None:
    options = parse_arguments(
        ["--data-root", str(tmp_path), "--listen", "0.0.0.0:7443", "--cluster-domain", "x.example"]
    )
    assert options.store == f"sqlite:{tmp_path}/state.db" and options.advertise == "127.0.0.1:7443"
    assert options.issuer == "https://kubernetes.default.svc.x.example"
    assert options.audit_log == f"{tmp_path}/audit.log" and (options.host, options.port) == ("0.0.0.0", 7443)
    assert history_seconds(options) == 24 * 3600
    assert advertised("[::1]:1") == "[::1]:1" and advertised("[::]:1") == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--data-root", "relative"], "data-root"),
        (["--listen", "6443"], "listen"),
        (["--listen", "a:99999"], "listen"),
        (["--advertise", "a"], "advertise"),
        (["--service-cidr", "10.96.0.1/16"], "service-cidr"),
        (["--service-cidr", "10.96.0.0/8"], "service-cidr"),
        (["--service-cidr", "fd00::/108"], "service-cidr"),
        (["--cluster-domain", "x y"], "cluster-domain"),
        (["--issuer", "http://x.example"], "issuer"),
        (["--issuer", "https://x.example?a"], "issuer"),
        (["--store", "mysql:x"], "store"),
        (["--store", "etcd:"], "store"),
        (["--store-ca", "x"], "store-ca"),
        (["--history", "5s"], "history"),
        (["--history", "soon"], "history"),
        (["--cluster-signing-duration", "9s"], "cluster-signing-duration"),
        (["--cluster-signing-duration", "long"], "cluster-signing-duration"),
        (["--role", "king"], "role"),
        (["--log-level", "loud"], "log-level"),
        (["--audit-log", "/x"], "audit-log"),
    ],
)
def test_what_is_refused(words: list[str], named: str) -> None:
    with pytest.raises(Invalid, match=named):
        parse_arguments(words)


def test_no_role_stands_alone() -> None:
    with pytest.raises(Unsupported, match="unsupported: role without api"):
        parse_arguments(["--role", "controllers"])


def test_a_file_gives_what_the_flags_do_not(tmp_path: Path) -> None:
    file = tmp_path / "control.toml"
    file.write_text('listen = "127.0.0.1:1"\ncluster = "two"\n')
    options = parse_arguments(["--config", str(file), "--listen", "127.0.0.1:2"])
    assert (options.listen, options.cluster) == ("127.0.0.1:2", "two")
    file.write_text('nothing = "x"\n')
    with pytest.raises(Invalid, match="nothing"):
        parse_arguments(["--config", str(file)])


def test_a_renewed_certificate_is_shown_from_the_next_connection_on(tmp_path: Path) -> None:
    options = parse_arguments(["--data-root", str(tmp_path)])
    certificates = Certificates(options)
    first, shown = certificates.context(), certificates.authority.certificate.read_bytes()
    kubeconfig = tmp_path / "admin.kubeconfig"
    assert kubeconfig.stat().st_mode & 0o777 == 0o600 and b"https://127.0.0.1:6443" in kubeconfig.read_bytes()
    certificates.look(certificates.authority)
    assert certificates.context() is first and certificates.version == 1
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=390)
    certificates.look(open_authority(tmp_path / "pki", [], later))
    assert certificates.authority.certificate.read_bytes() != shown
    assert certificates.context() is not first and certificates.version == 2 and not certificates.revoked(1)
