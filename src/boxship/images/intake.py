"""Takes an archive of images off a stream, in one pass: large members become blobs, small documents stay in memory.

Nothing of it can be seen until the loader gives it a name; a blob that no image takes is removed again. Runs in a
thread; the client's bytes come over a Bridge.
"""

import posixpath
import tarfile
from collections.abc import Callable
from typing import Any

import msgspec

from boxship.content import Content, Lease
from boxship.errors import Conflict, Invalid
from boxship.images.documents import DOCUMENT_LIMIT
from boxship.images.streams import PIECE, Bridge, Inflated, Reader
from boxship.spec import digest as digests

MEMBER_LIMIT = 100_000  # members of one archive
MEMORY_LIMIT = 64 * 1024 * 1024  # bytes of documents kept in memory
HEADER_LIMIT = 1024 * 1024  # bytes of one extended header
LINK_LIMIT = 16  # symbolic links followed one after another
BLOBS = "blobs/sha256/"
DOCUMENTS = ("manifest.json", "index.json", "repositories", "oci-layout")
EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Blob(msgspec.Struct, frozen=True):
    """A member that became a blob."""

    digest: str
    size: int


class _Header(tarfile.TarInfo):
    """A member's header; refuses extended headers that would be read into memory whole and are huge."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        """Called for every header that was read: tarfile's own place for subclasses. (Later security fixes of
        Python go around `frombuf`.)"""
        if self.type in EXTENDED and self.size > HEADER_LIMIT:
            raise Invalid("cannot read the archive: a header is too large")
        return super()._proc_member(archive)  # type: ignore[misc]  # typeshed lacks it


def open_tar(source: Reader) -> tarfile.TarFile:
    """A tar read as a stream. Raises Invalid for what is not one."""
    try:
        file: Any = source  # of a file's methods, a stream needs read alone
        return tarfile.open(fileobj=file, mode="r|", bufsize=64 * 1024, tarinfo=_Header)
    except (tarfile.TarError, EOFError) as error:
        raise Invalid("cannot read the archive: it is not a tar file") from error


class Archive:
    """What came in: documents and blobs by the member's path; at most `limit` bytes (0: any), decompressed."""

    def __init__(self, content: Content, limit: int = 0) -> None:
        self._content = content
        self._limit = limit
        self._came = 0
        self._documents: dict[str, bytes] = {}
        self._blobs: dict[str, Blob] = {}
        self._links: dict[str, str] = {}
        self._held = 0

    def take(self, bridge: Bridge, lease: Lease) -> None:
        """Read the whole stream. Raises Invalid for what is no archive, Exhausted on a full disk."""
        try:
            with open_tar(Inflated(bridge)) as tar:
                for count, member in enumerate(tar):
                    if count >= MEMBER_LIMIT:
                        raise Invalid(f"cannot load images: the archive has more than {MEMBER_LIMIT} members")
                    self._take_member(tar, member, lambda key: bridge.call(lease.add(key)))
                    tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
        except (tarfile.TarError, EOFError) as error:
            raise Invalid(f"cannot read the archive: {error}") from error
        while bridge.read(PIECE):  # the client must be able to send its last bytes
            pass

    def _take_member(self, tar: tarfile.TarFile, member: tarfile.TarInfo, hold: Callable[[str], None]) -> None:
        path = safe_path(member.name)
        if member.isdir():
            return
        if member.issym():
            self._links[path] = safe_path(posixpath.join(posixpath.dirname(path), member.linkname))
            return
        if member.islnk():
            self._links[path] = safe_path(member.linkname)
            return
        if not member.isfile():
            raise Invalid(f"cannot load images: {path} in the archive is neither a file, a folder nor a link")
        source = tar.extractfile(member)
        assert source is not None
        if _is_document(path) and member.size <= DOCUMENT_LIMIT:
            self._held += member.size
            if self._held > MEMORY_LIMIT:
                raise Invalid(f"cannot load images: the archive has more than {MEMORY_LIMIT} bytes of documents")
            self._documents[path] = source.read()
            self._count(member.size)
            if len(self._documents[path]) != member.size:
                raise Invalid("cannot read the archive: unexpected end of data")
        else:
            self._blobs[path] = self._ingest(path, source, member.size, hold)

    def _ingest(self, path: str, source: Reader, size: int, hold: Callable[[str], None]) -> Blob:
        expected = f"sha256:{path.removeprefix(BLOBS)}" if path.startswith(BLOBS) else None
        if expected is not None and not digests.is_digest(expected):
            raise Invalid(f"cannot load images: {path} is not named by a digest")
        ingest = self._content.begin()
        try:
            while data := source.read(PIECE):
                self._count(len(data))
                ingest.write(data)
            if ingest.size != size:
                raise Invalid("cannot read the archive: unexpected end of data")
            hold(ingest.digest())  # before finish looks whether the blob is there already
            return Blob(ingest.finish(expected), size)
        finally:
            ingest.abandon()

    def _count(self, size: int) -> None:
        self._came += size
        if self._limit and self._came > self._limit:
            raise Conflict(f"cannot load images: the archive is larger than {self._limit} bytes")

    # what is in it

    def _resolve(self, path: str) -> str:
        path = safe_path(path)
        for _ in range(LINK_LIMIT):
            if path not in self._links:
                return path
            path = self._links[path]
        raise Invalid(f"cannot load images: {path} in the archive is a link to itself")

    def blob(self, path: str) -> Blob:
        """The blob at a path, links followed. Raises Invalid where there is none."""
        found = self._blobs.get(self._resolve(path))
        if found is None:
            raise Invalid(f"cannot load images: {path} is missing from the archive")
        return found

    def by_digest(self, digest: str) -> Blob | None:
        """The blob of that digest: from this archive, or already here."""
        found = self._blobs.get(BLOBS + digests.encoded(digests.validate(digest)))
        if found is None and digest.startswith("sha256:") and self._content.exists(digest):
            return Blob(digest, self._content.size(digest))
        return found

    def document(self, path: str) -> bytes | None:
        """A JSON document, from memory or from a blob; None where there is none."""
        resolved = self._resolve(path)
        if resolved in self._documents:
            return self._documents[resolved]
        if resolved in self._blobs:
            return self._content.read_now(self._blobs[resolved].digest, DOCUMENT_LIMIT)
        return None

    def read(self, digest: str) -> bytes:
        """A small blob of this archive or of the store. Raises Invalid where it is missing."""
        found = self.by_digest(digest)
        if found is None:
            raise Invalid(f"cannot load images: blob {digest} is missing from the archive")
        return self._content.read_now(found.digest, DOCUMENT_LIMIT)


def safe_path(name: str) -> str:
    """A member's path without "./", or Invalid for one that leads out of the archive."""
    path = posixpath.normpath(name)
    if path.startswith(("/", "../")) or path == ".." or "\0" in path:
        raise Invalid(f"cannot load images: {name!r} leads out of the archive")
    return path


def _is_document(path: str) -> bool:
    if path.startswith(BLOBS):
        return False
    return path in DOCUMENTS or path.endswith(".json") or posixpath.basename(path) in ("json", "VERSION")
