"""The registry role's options: what goes together, what the registry is called, what is kept."""

from pathlib import Path

import pytest

from boxship.errors import Invalid
from boxship.main.options import Options, check
from boxship.main.registry import _token_key, own_names


@pytest.mark.parametrize(
    "options",
    [
        Options(registry="5000"),
        Options(registry="host:port"),
        Options(registry="::1:5000"),
        Options(registry_auth="/f"),
        Options(registry_name=("x",)),
        Options(registry_metrics=True),
        Options(registry="h:1", registry_tls_cert="/c"),
        Options(registry="h:1", registry_tls_key="/c"),
        Options(registry="h:1", registry_tls_cert="/c", registry_tls_key="/k", registry_plain_http=True),
        Options(registry="h:1", registry_token=True),
    ],
)
def test_what_does_not_go_together_is_refused(options: Options) -> None:
    with pytest.raises(Invalid, match="registry"):
        check(options)


def test_names_of_the_registry() -> None:
    assert own_names(Options(registry="10.0.0.1:5000")) == {"10.0.0.1:5000"}
    here = {"127.0.0.1:5000", "localhost:5000", "[::1]:5000"}
    for address in ("127.0.0.1:5000", "localhost:5000", "[::1]:5000"):
        assert own_names(Options(registry=address)) == here
    assert own_names(Options(registry="0.0.0.0:5000", registry_name=("reg.example.org",))) == {
        "0.0.0.0:5000",
        "reg.example.org",
        *here,
    }


def test_the_key_of_tokens_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = _token_key(path)
    assert len(key) == 32 and path.stat().st_mode & 0o777 == 0o600
    assert _token_key(path) == key
