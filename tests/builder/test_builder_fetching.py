"""What comes from elsewhere: files asked for again only when they changed, checkouts of repositories, contexts."""

import asyncio
import hashlib
import http.server
import os
import socket
import subprocess
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from builder_kit import Workplace, of_kind

from boxship.builder.addresses import git_source, without_password
from boxship.builder.authorization import git_environment
from boxship.builder.contexts import Contexts
from boxship.builder.failures import BuildFailed
from boxship.builder.fetching import Downloads
from boxship.builder.graph import HttpSource
from boxship.builder.model import StepFinished
from boxship.builder.repositories import Git, forget_credentials
from boxship.errors import BoxshipError, NotFound, Unsupported
from boxship.main.fetching import WebFetcher
from boxship.store.memory import MemoryStore
from boxship.transport.client import Proxies
from daemons import until


class Site:
    """A web server on loopback. `files` by path; `seen` are the requests with their answers."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.seen: list[tuple[str, int]] = []
        self.credentials: list[str] = []
        self.dated = True
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.credentials.append(self.headers.get("Authorization", ""))
                data = site.files.get(self.path)
                tag = f'"{hashlib.sha256(data or b"").hexdigest()[:8]}"'
                status = 200 if data is not None else 404
                if self.path in site.moved:
                    status, data = 302, b""
                elif data is not None and self.headers.get("If-None-Match") == tag:
                    status, data = 304, b""
                site.seen.append((self.path, status))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", site.moved[self.path])
                self.send_header("ETag", tag)
                if site.dated:
                    self.send_header("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT")
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *words: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Workplace]:
    """A builder that has a way to the network."""
    contexts = Contexts(tmp_path / "contexts")
    await contexts.recover()
    fetcher = WebFetcher(Proxies())
    store = MemoryStore()
    made = Workplace(tmp_path, store)
    made.fetched = Downloads(tmp_path / "fetched", contexts, fetcher, Git())
    await made.fetched.recover()
    await made.open()
    await made.base_image()
    yield made
    await made.close()
    await fetcher.close()
    await store.close()
    await contexts.close()
    assert not [path for path in (tmp_path / "contexts").rglob("*") if path.name != ".trash"]
    assert not [name for name in os.listdir(tmp_path / "fetched") if name.startswith(".")]


async def test_a_file_is_fetched_once_while_it_stays_the_same(place: Workplace, site: Site) -> None:
    site.files["/a/file"] = b"one"
    text = f"FROM base\nADD {site.url}/a/file /x/\n"
    first = await place.image(text)
    assert place.executor.trees[first.chain_id]["/x/file"] == b"one"
    assert (await place.image(text)).id == first.id
    assert site.seen == [("/a/file", 200), ("/a/file", 304)]
    assert place.executor.calls == ["copy /x/"]
    site.files["/a/file"] = b"two"
    changed = await place.image(text)
    assert place.executor.trees[changed.chain_id]["/x/file"] == b"two"


async def test_a_checksum_is_verified_and_saves_the_question(place: Workplace, site: Site) -> None:
    site.files["/file"] = b"one"
    digest = hashlib.sha256(b"one").hexdigest()
    text = f"FROM base\nADD --checksum=sha256:{digest} {site.url}/file /x/\n"
    await place.build(text)
    await place.build(text)
    assert site.seen == [("/file", 200)]
    with pytest.raises(BuildFailed, match="digest mismatch"):
        await place.build(text.replace(digest, "0" * 64))


async def test_times_of_files(place: Workplace, site: Site) -> None:
    for site.dated, seconds in ((True, 1_000_000_000), (False, 0)):
        site.files["/a"] = str(seconds).encode()
        async with place.fetched.file(HttpSource(f"{site.url}/a", "a")) as kept:
            info = (kept.tree.path / "a").stat()
        assert (info.st_mtime, info.st_mode & 0o7777) == (seconds, 0o600)


async def test_what_was_fetched_is_part_of_the_cache(place: Workplace, site: Site) -> None:
    site.files["/file"] = bytes(5000)
    await place.build(f"FROM base\nADD {site.url}/file /x/\n")
    (record,) = [item for item in await place.builder.cache_records() if item.kind == "source.http"]
    assert record.size == 5000 and not record.in_use
    assert await place.builder.prune(filters={"type": ["source.http"]}) == ((record.id,), 5000)
    assert not list((place.root / "fetched").iterdir())


async def test_redirects_are_followed_and_credentials_stay_with_their_host(place: Workplace, site: Site) -> None:
    other = Site()
    try:
        site.moved["/file"] = f"{other.url}/there"
        other.files["/there"] = b"data"
        image = await place.image(f"FROM base\nADD http://me:secret@127.0.0.1:{site.port}/file /x/\n")
        assert place.executor.trees[image.chain_id]["/x/file"] == b"data"
        assert site.credentials[0].startswith("Basic ") and other.credentials == [""]
        assert "secret" not in str(image.config.history)
    finally:
        other.close()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:secret@host/x", "http://me:xxxxx@host/x"),
        ("https://me:se:cr@et@host:1/x@y", "https://me:xxxxx@host:1/x@y"),
        ("https://secret@host/x.git#main", "https://xxxxx@host/x.git#main"),
        ("https://host:1/a:b@c", "https://host:1/a:b@c"),
        ("git@host:x.git", "git@host:x.git"),
    ],
)
def test_addresses_are_shown_without_passwords(url: str, shown: str) -> None:
    assert without_password(url) == shown


async def test_no_password_is_in_an_error(place: Workplace, site: Site, tmp_path: Path) -> None:
    site.files["/folder/"] = site.files["/file"] = b"x"
    address = f"http://me:se@cret@127.0.0.1:{site.port}"
    for line in (
        f"ADD {address}/folder/ /x/",
        f"ADD {address}/none /x/",
        f"ADD {address}/x.git?no=1 /x/",
        f"ADD {address}/x.git#-o /x/",
        f"ADD {address}/x.git#main /x/",
    ):
        with pytest.raises(BuildFailed) as caught:
            await place.build(f"FROM base\n{line}\n")
        assert "cret" not in caught.value.reason, line
    events = await place.events(f"FROM base\nARG WHERE={address}\nADD $WHERE/file /x/\n")
    told = [event for event in events if "ARG" not in getattr(event, "instruction", "ARG")]
    assert told and "cret" not in str(told)


async def test_what_is_no_address(place: Workplace, site: Site) -> None:
    site.moved["/file"] = "http://["
    for text in (
        f"ADD {site.url}/file /x/",
        "ADD http://me:pw@[x /y",
        "ADD https://h:99999/x /y",
        "ADD http://[::1/a.git?b /y",
    ):
        with pytest.raises(BuildFailed, match="address") as caught:
            await place.build(f"FROM base\n{text}\n")
        assert "pw" not in caught.value.reason
    with pytest.raises(BoxshipError, match="address"):
        await place.build(context=None, remote="http://[/x")


def test_git_forgets_credentials(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q")
    url = "https://me:secret@host.example/a/b.git"
    run_git(tmp_path, "remote", "add", "origin", url)
    (tmp_path / ".git/modules/s").mkdir(parents=True)
    (tmp_path / ".git/modules/s/config").write_text('[remote "origin"]\n\turl = https://me:secret@host.example/a/s\n')
    (tmp_path / ".git/modules/config").symlink_to("/etc/passwd")
    forget_credentials(tmp_path / ".git", url)
    assert run_git(tmp_path, "remote", "get-url", "origin") == "https://host.example/a/b.git"
    assert "secret" not in (tmp_path / ".git/modules/s/config").read_text()


async def test_what_is_not_there(place: Workplace, site: Site) -> None:
    with pytest.raises(BuildFailed, match="the server answered 404"):
        await place.build(f"FROM base\nADD {site.url}/none /x/\n")
    site.moved["/loop"] = f"{site.url}/loop"
    with pytest.raises(BuildFailed, match="more than 10 redirects"):
        await place.build(f"FROM base\nADD {site.url}/loop /x/\n")
    with pytest.raises(BuildFailed):
        await place.build("FROM base\nADD http://127.0.0.1:1/file /x/\n")


async def test_contexts_from_the_web(place: Workplace, site: Site, tmp_path: Path) -> None:
    site.files["/Dockerfile"] = b"FROM base\nRUN from-text\n"
    assert (await place.build(context=None, remote=f"{site.url}/Dockerfile")).image
    assert place.executor.calls == ["run from-text"]
    folder = tmp_path / "packed"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM base\nCOPY file /file\n")
    (folder / "file").write_text("packed")
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as tar:
        tar.add(folder, ".")
    site.files["/c.tar.gz"] = (tmp_path / "c.tar.gz").read_bytes()
    image = await place.image(context=None, remote=f"{site.url}/c.tar.gz")
    assert place.executor.trees[image.chain_id]["/file"] == b"packed"
    named = await place.image("FROM base\nCOPY --from=other file /named\n", contexts={"other": f"{site.url}/c.tar.gz"})
    assert place.executor.trees[named.chain_id]["/named"] == b"packed"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A repository behind git's own protocol: its address and its folder."""
    work = tmp_path / "served" / "project.git"
    work.mkdir(parents=True)
    run_git(work, "init", "-q", "-b", "main")
    commit(
        work, {"Dockerfile": "FROM base\nCOPY file /file\n", "file": "main", "sub/Dockerfile": "FROM base\nRUN sub\n"}
    )
    run_git(work, "tag", "-a", "v1", "-m", "first")
    run_git(work, "checkout", "-q", "-b", "side")
    commit(work, {"file": "side"})
    run_git(work, "checkout", "-q", "main")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["git", "daemon", "--export-all", f"--base-path={tmp_path}/served", f"--port={port}", "--listen=127.0.0.1"]
    server = subprocess.Popen([*words, f"{tmp_path}/served"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as there:
            return there.connect_ex(("127.0.0.1", port)) == 0

    until(answers, 10, "git daemon listens")
    yield f"git://127.0.0.1:{port}/project.git", work
    server.terminate()
    server.wait(10)


def run_git(folder: Path, *words: str) -> str:
    names = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", "-C", str(folder), *words], env={**os.environ, **names}, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def commit(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    run_git(folder, "add", ".")
    run_git(folder, "commit", "-q", "-m", "change")


async def content(place: Workplace, remote: str, **options: object) -> str:
    image = await place.image(context=None, remote=remote, **options)
    return place.executor.trees[image.chain_id]["/file"].decode()


async def test_contexts_from_git(place: Workplace, repository: tuple[str, Path]) -> None:
    url, work = repository
    assert await content(place, url) == "main"
    assert await content(place, f"{url}#side") == "side"
    assert await content(place, f"{url}#refs/tags/v1") == "main"
    assert await content(place, f"{url}#{run_git(work, 'rev-parse', 'side')}") == "side"
    await place.build(context=None, remote=f"{url}#main:sub")
    assert "run sub" in place.executor.calls
    commit(work, {"file": "newer"})
    assert await content(place, url) == "newer"
    assert await content(place, f"{url}#v1") == "main"


async def test_the_git_folder_of_a_context(place: Workplace, repository: tuple[str, Path]) -> None:
    url, _ = repository
    text = "FROM base\nCOPY . /all/\n"
    for given, there in (({}, False), ({"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"}, True)):
        image = await place.image(text, context=None, remote=url, arguments=given)
        assert ("/all/HEAD" in place.executor.trees[image.chain_id]) is there
    kept = await place.image(text, context=None, remote=f"{url}?keep-git-dir=true")
    assert "/all/HEAD" in place.executor.trees[kept.chain_id]


async def test_a_checkout_is_used_again(place: Workplace, repository: tuple[str, Path]) -> None:
    url, _ = repository
    text = f"FROM base\nADD {url}#main /src/\n"
    first = await place.events(text)
    second = await place.events(text)
    assert [event.cached for event in of_kind(first, StepFinished) if event.step.startswith("load")] == [False]
    assert [event.cached for event in of_kind(second, StepFinished) if event.step.startswith("load")] == [True]
    files = place.executor.trees[(await place.image(text)).chain_id]
    assert files["/src/file"] == b"main" and not [name for name in files if ".git" in name]


async def test_wrong_repositories(place: Workplace, repository: tuple[str, Path]) -> None:
    url, work = repository
    for address, kind in (
        (f"{url}#none", NotFound),
        (f"{url}#main:none", NotFound),
        (f"{url}#main:../..", BoxshipError),
        (f"{url}?checksum={'0' * 40}", BoxshipError),
        ("git@example.org:some/where.git", Unsupported),
        ("ssh://example.org/some/where.git", Unsupported),
        (f"{url}#--upload-pack=x", BoxshipError),
    ):
        with pytest.raises(kind):
            await place.build(context=None, remote=address)
    head = run_git(work, "rev-parse", "main")
    assert await content(place, f"{url}?ref=main&checksum={head}") == "main"
    assert await content(place, f"{url}?ref=main&checksum={head[:1]}") == "main"


async def test_a_submodule_may_not_read_this_machine(
    place: Workplace, repository: tuple[str, Path], tmp_path: Path
) -> None:
    url, work = repository
    secret = tmp_path / "secret"
    secret.mkdir()
    run_git(secret, "init", "-q", "-b", "main")
    commit(secret, {"password": "x"})
    (work / ".gitmodules").write_text(f'[submodule "s"]\n\tpath = s\n\turl = file://{secret}\n')
    head = run_git(secret, "rev-parse", "HEAD")
    run_git(work, "update-index", "--add", "--cacheinfo", f"160000,{head},s")
    run_git(work, "add", ".gitmodules")
    run_git(work, "commit", "-q", "-m", "submodule")
    with pytest.raises(BoxshipError, match="not allowed"):
        await place.build(context=None, remote=url)
    assert await content(place, f"{url}?submodules=false") == "main"


async def test_a_folder_of_a_repository_is_no_way_out_of_it(
    place: Workplace, repository: tuple[str, Path], tmp_path: Path
) -> None:
    url, work = repository
    (tmp_path / "machine" / "etc").mkdir(parents=True)
    (tmp_path / "machine" / "etc" / "secret").write_text("of the machine")
    (work / "out").symlink_to(tmp_path / "machine")
    (work / "in").symlink_to("sub")
    commit(work, {"sub/deep/file": "mine"})
    for folder in ("out", "out/etc", "out/etc/", "in/deep", "sub/../out/etc", "sub/deep/file"):
        with pytest.raises(BoxshipError):
            await place.build(f"FROM base\nADD {url}#main:{folder} /x/\n")
    image = await place.image(f"FROM base\nADD {url}#main:sub/deep/ /x/\n")
    assert place.executor.trees[image.chain_id]["/x/file"] == b"mine"


async def test_what_nobody_used_for_long_goes_at_the_next_start(place: Workplace, site: Site) -> None:
    site.files["/old"] = b"old"
    await place.build(f"FROM base\nADD {site.url}/old /x/\n")
    (record,) = await asyncio.to_thread(place.fetched.records)
    path = place.root / "fetched" / record.id / "record.json"
    path.write_bytes(path.read_bytes().replace(str(record.used).encode(), b"1"))
    (place.root / "fetched" / ".half").mkdir()
    await place.fetched.recover()
    assert not list((place.root / "fetched").iterdir())


async def test_secrets_say_who_we_are_to_the_host_that_is_named(place: Workplace, site: Site) -> None:
    other = Site()
    try:
        site.moved["/file"] = f"{other.url}/there"
        other.files["/there"] = b"data"
        text = f"FROM base\nADD {site.url}/file /x/\n"
        host = f"127.0.0.1:{site.port}"
        for secrets, seen in (
            ({f"HTTP_AUTH_TOKEN_{host}": b"abc\n"}, "Bearer abc"),
            ({f"HTTP_AUTH_HEADER_{host}": b"Basic eA==", f"HTTP_AUTH_TOKEN_{host}": b"abc"}, "Basic eA=="),
            ({"HTTP_AUTH_TOKEN_example.org": b"abc"}, ""),
        ):
            image = await place.image(text, secrets=secrets)
            assert place.executor.trees[image.chain_id]["/x/file"] == b"data"
            assert (site.credentials[-1], other.credentials[-1]) == (seen, "")
            assert "abc" not in str(image.config)
        with pytest.raises(BoxshipError, match="no single line of text"):
            await place.build(text, secrets={f"HTTP_AUTH_TOKEN_{host}": b"a\r\nX: y"})
    finally:
        other.close()


async def test_a_repository_that_wants_a_token(place: Workplace, repository: tuple[str, Path], tmp_path: Path) -> None:
    _, work = repository
    served = tmp_path / "web"
    served.mkdir()
    run_git(served, "clone", "-q", "--bare", str(work), "private.git")
    run_git(served / "private.git", "update-server-info")

    class Guarded(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") == "basic eC1hY2Nlc3MtdG9rZW46dA==":
                super().do_GET()
            else:
                self.send_error(401)

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Guarded, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        host = f"127.0.0.1:{server.server_port}"
        text = f"FROM base\nADD http://{host}/private.git#side /src/\n"
        for secrets in ({}, {"GIT_AUTH_TOKEN": b"wrong"}, {"GIT_AUTH_TOKEN.example.org": b"t"}):
            with pytest.raises(BoxshipError) as caught:
                await place.build(text, secrets=secrets)
            assert "eC1h" not in str(caught.value)
        image = await place.image(text, secrets={"GIT_AUTH_TOKEN": b"t\n"})
        assert place.executor.trees[image.chain_id]["/src/file"] == b"side"
        assert await content(place, f"http://{host}/private.git", secrets={f"GIT_AUTH_TOKEN.{host}": b"t"}) == "main"
    finally:
        server.shutdown()
        server.server_close()


def test_secrets_for_repositories() -> None:
    url = "https://git.example.org:8443/team/app.git"
    assert git_environment(url, {}) == {}
    assert git_environment("git://git.example.org/app.git", {"GIT_AUTH_TOKEN": b"t"}) == {}
    found = git_environment(url, {"GIT_AUTH_TOKEN": b"t", "GIT_AUTH_TOKEN.git.example.org:8443": b"own\n"})
    assert found == {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "http.https://git.example.org:8443/.extraHeader",
        "GIT_CONFIG_VALUE_0": "Authorization: basic eC1hY2Nlc3MtdG9rZW46b3du",
        "GIT_CONFIG_KEY_1": "http.followRedirects",
        "GIT_CONFIG_VALUE_1": "false",
    }
    header = git_environment(url, {"GIT_AUTH_HEADER": b"Bearer x", "GIT_AUTH_TOKEN": b"t"})
    assert header["GIT_CONFIG_VALUE_0"] == "Authorization: Bearer x"


async def test_a_checkout_has_the_documented_modes(place: Workplace, repository: tuple[str, Path]) -> None:
    url, work = repository
    (work / "sub" / "tool").write_text("x")
    (work / "sub" / "tool").chmod(0o700)
    (work / "link").symlink_to("file")
    run_git(work, "add", ".")
    run_git(work, "commit", "-q", "-m", "more")
    before = os.umask(0o077)
    try:
        source = git_source(url, keep_git=True)
        async with place.fetched.repository(source, {}) as kept:
            folder = kept.tree.path
            modes = {name: (folder / name).lstat().st_mode & 0o7777 for name in (".", "file", "sub", "sub/tool")}
            assert modes == {".": 0o755, "file": 0o644, "sub": 0o755, "sub/tool": 0o755}
            assert (folder / "link").is_symlink() and (folder / ".git").is_dir()
    finally:
        os.umask(before)
