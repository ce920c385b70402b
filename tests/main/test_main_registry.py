"""The registry role's options: what goes together, what the registry is called, what is kept."""

from pathlib import Path

import bcrypt
import pytest

from boxship.errors import BoxshipError, Denied, Invalid, Unauthenticated
from boxship.images.remote.model import Credentials
from boxship.main.options import Options, check
from boxship.main.own_registry import OwnRegistry
from boxship.main.registry import _token_key, own_names
from boxship.registry.access import Access
from boxship.registry.logins import Users
from boxship.registry.policy import Policy
from boxship.registry.tokens import Tokens
from boxship.spec.image import MEDIA_MANIFEST
from registry_kit import bench, digest_of, image


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


async def test_a_push_of_the_engine_has_the_rights_of_its_credentials(tmp_path: Path) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    tokens = Tokens(b"k" * 32, "test")
    async with bench(tmp_path / "data") as made:
        manifest = image()
        async with made.garbage.lease() as lease:
            for data in (manifest, b"{}"):
                await lease.add(digest_of(data))
                await made.content.put(data)
            access = Access(Policy(), closed=True)
            own = OwnRegistry(
                frozenset({"here"}), made.content, made.registry, access, Users(path), tokens, lambda: 10**12
            )

            async def push(repository: str, who: Credentials) -> None:
                await own.accept(repository, "1", digest_of(manifest), MEDIA_MANIFEST, who)

            def token(**grants: set[str]) -> Credentials:
                given = {name: frozenset(actions) for name, actions in grants.items()}
                return Credentials(registry_token=tokens.issue("alice", given, False, 1000))

            refused: list[tuple[str, Credentials, type[BoxshipError]]] = [
                ("a", Credentials(), Unauthenticated),
                ("a", Credentials("alice", "wrong"), Unauthenticated),
                ("a", token(a={"pull"}), Denied),
                ("b", token(a={"pull", "push"}), Denied),
            ]
            for repository, who, kind in refused:
                with pytest.raises(kind):
                    await push(repository, who)
            await push("a", token(a={"pull", "push"}))
            await push("b", Credentials("alice", "secret"))
        assert made.registry.reading.tags("a") == made.registry.reading.tags("b") == (["1"], False)
