"""git, as a program of the host: which commit a source means, and its files.

It gets a clean environment and no configuration but what is here: no hooks, no helpers that ask people, no files of
this machine by way of a submodule. Repositories are not trusted; only files come out of them.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from boxship.builder.addresses import without_password
from boxship.builder.graph import GitSource
from boxship.errors import NotFound, Unavailable, Unsupported
from boxship.snapshots.removal import remove_path
from boxship.sys.spawn import SAFE_ENVIRONMENT, Completed, run
from boxship.waiting import in_thread

GIT_SECONDS = 1800.0  # one call of git
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
ENVIRONMENT = {
    **SAFE_ENVIRONMENT,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_ALLOW_PROTOCOL": "git:http:https",
    "HOME": "/nonexistent",
}
SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.ext.allow=never",
    "protocol.file.allow=never",
    "safe.directory=*",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
    "gc.auto=0",
    "submodule.fetchJobs=4",
)


class Git:
    """Implements `sources.Repositories`."""

    async def _run(self, *words: str, environment: Mapping[str, str]) -> Completed:
        settings = [word for setting in SETTINGS for word in ("-c", setting)]
        return await run(
            ["git", *settings, *words], env={**ENVIRONMENT, **environment}, timeout=GIT_SECONDS, limit=64 << 20
        )

    async def _checked(self, what: str, *words: str, environment: Mapping[str, str]) -> bytes:
        done = await self._run(*words, environment=environment)
        if done.returncode:
            text = done.stderr.decode(errors="replace").strip()
            kind = NotFound if "not found" in text or "couldn't find remote ref" in text else Unavailable
            lines = [line for line in text.splitlines() if line.startswith("fatal: ")] or [text or "git failed"]
            raise kind(f"cannot {what}: {without_password(lines[0].removeprefix('fatal: '))}")
        return done.stdout

    async def commit_of(self, source: GitSource, environment: Mapping[str, str]) -> str:
        """The commit that the reference means now. Raises NotFound, Unavailable."""
        _check_scheme(source.url)
        if COMMIT.fullmatch(source.reference):
            return source.reference
        what = f"read {without_password(source.url)}"
        wanted = source.reference or "HEAD"
        names = (wanted, f"refs/heads/{wanted}", f"refs/tags/{wanted}", f"refs/tags/{wanted}^{{}}")
        listed = await self._checked(what, "ls-remote", "--", source.url, *names, environment=environment)
        found = {}
        for line in listed.decode(errors="replace").splitlines():
            commit, _, name = line.partition("\t")
            found[name] = commit
        for name in (f"refs/tags/{wanted}^{{}}", f"refs/heads/{wanted}", f"refs/tags/{wanted}", wanted):
            if COMMIT.fullmatch(found.get(name, "")):
                return found[name]
        raise NotFound(f"cannot {what}: repository does not contain ref {wanted}")

    async def checkout(self, source: GitSource, commit: str, folder: Path, environment: Mapping[str, str]) -> None:
        """The files of a commit with its submodules in an empty folder; .git stays only where that is asked for."""
        what = f"fetch {without_password(source.url)}"
        place = ("-C", str(folder))
        await self._checked(what, *place, "init", "--quiet", environment=environment)
        await self._checked(what, *place, "remote", "add", "origin", source.url, environment=environment)
        shallow = await self._run(*place, "fetch", "--quiet", "--depth=1", "origin", commit, environment=environment)
        if shallow.returncode:  # a server may refuse to give a single commit
            await self._checked(
                what, *place, "fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*",
                environment=environment,
            )  # fmt: skip
        await self._checked(what, *place, "checkout", "--quiet", "--force", commit, environment=environment)
        if source.submodules and (folder / ".gitmodules").is_file():
            await self._checked(
                what, *place, "submodule", "update", "--quiet", "--init", "--recursive", "--depth=1",
                environment=environment,
            )  # fmt: skip
        if source.keep_git:
            await in_thread(forget_credentials, folder / ".git", source.url)
        else:
            await in_thread(_forget_history, folder)
        await in_thread(_set_modes, folder)


def _forget_history(folder: Path) -> None:
    for path in folder.rglob(".git"):
        remove_path(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _set_modes(folder: Path) -> None:
    """Files are 0644 or 0755 and folders 0755, whatever the daemon's umask. Blocks."""
    for path, names, files in os.walk(folder):
        names[:] = [name for name in names if name != ".git"]
        os.chmod(path, 0o755)
        for name in files:
            file = os.path.join(path, name)
            if not os.path.islink(file):
                os.chmod(file, 0o755 if os.stat(file).st_mode & stat.S_IXUSR else 0o644)


def forget_credentials(folder: Path, url: str) -> None:
    """Take the name and the password in an address out of what git has noted, also for submodules. Blocks."""
    user, named, host = urlsplit(url).netloc.rpartition("@")
    for path in folder.rglob("config") if named else ():
        if path.is_file() and not path.is_symlink():
            text = path.read_bytes()
            path.write_bytes(text.replace(f"//{user}@{host}".encode(), f"//{host}".encode()))


def _check_scheme(url: str) -> None:
    if not url.lower().startswith(("git://", "http://", "https://")):
        raise Unsupported(f"unsupported: git over ssh ({without_password(url)})")
