"""Addresses of things elsewhere: files on web servers, and git repositories with a reference and a folder. Pure."""

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

import msgspec

from boxship.builder.graph import GitSource, HttpSource
from boxship.errors import Invalid

_WEB = re.compile(r"https?://", re.IGNORECASE)
_GIT = re.compile(r"(?:git|ssh)://", re.IGNORECASE)
_SHORT_SSH = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:(?!//).+")
_COMMIT = re.compile(r"[0-9a-f]{1,64}")  # the beginning of one
_REFERENCE = re.compile(r"[A-Za-z0-9_./@{}^~+=,-]*")
_QUERY = {"ref": "reference", "tag": "reference", "branch": "reference", "commit": "checksum", "checksum": "checksum"}


def is_web(text: str) -> bool:
    return bool(_WEB.match(text))


def is_git(text: str) -> bool:
    """git://, ssh://, user@host:path, or a web address whose path ends in .git."""
    if _GIT.match(text) or (_SHORT_SSH.fullmatch(text) and not is_web(text)):
        return True
    if not is_web(text):
        return False
    return _split(text).path.endswith(".git")


def is_remote(text: str) -> bool:
    """Whether a context's address is fetched. `github.com/…` without a scheme is a repository too."""
    return is_web(text) or is_git(text) or text.startswith("github.com/")


def git_source(text: str, *, keep_git: bool = False, checksum: str = "") -> GitSource:
    """`address#reference:folder`, also `address?ref=…&subdir=…`. Raises Invalid."""
    if text.startswith("github.com/"):
        text = f"https://{text}"
    shown = without_password(text)
    address, _, fragment = text.partition("#")
    reference, _, folder = unquote(fragment).partition(":")
    submodules = True
    if "?" in address and not _SHORT_SSH.fullmatch(address):
        parts = _split(address)
        rest = []
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name == "subdir":
                folder = folder or value
            elif name == "keep-git-dir":
                keep_git = keep_git or value in ("", "1", "true")
            elif name == "submodules":
                submodules = value in ("", "1", "true")
            elif _QUERY.get(name) == "reference":
                reference = reference or value
            elif _QUERY.get(name) == "checksum":
                checksum = checksum or value
            else:
                rest.append(name)
        if rest:
            raise Invalid(f"cannot read git address {shown}: unexpected query {rest[0]}")
        address = urlunsplit(parts._replace(query=""))
    if reference.startswith("-") or not _REFERENCE.fullmatch(reference):
        raise Invalid(f"cannot read git address {shown}: {reference!r} is no reference")
    if ".." in folder.split("/"):
        raise Invalid(f"cannot read git address {shown}: the folder leads outside")
    if checksum and not _COMMIT.fullmatch(checksum):
        raise Invalid(f"invalid checksum {checksum} for Git source: a commit is expected")
    return GitSource(address, reference, folder.strip("/"), keep_git, checksum, submodules)


def http_source(text: str, checksum: str = "") -> HttpSource:
    """A file by its address; it is named after the last part of the path."""
    path = _split(text).path
    name = unquote(path.rpartition("/")[2])
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        name = ""
    return HttpSource(text, name, checksum)


def remote_source(text: str) -> GitSource | HttpSource:
    """A context's address. Raises Invalid."""
    if is_git(text) or text.startswith("github.com/"):
        return git_source(text)
    return msgspec.structs.replace(http_source(text), archive=True)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise Invalid(f"cannot read address {without_password(text)}: {error}") from None
    return parts


def without_password(url: str) -> str:
    """An address that may be shown. A name without a password may be a token."""
    shown = re.sub(r"(//[^/?#@:]*):[^/?#]*@", r"\1:xxxxx@", url)
    return re.sub(r"(https?://)[^/?#:]*@", r"\1xxxxx@", shown, flags=re.IGNORECASE)
