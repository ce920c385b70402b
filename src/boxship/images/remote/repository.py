"""One repository at one address of a registry: the calls of the distribution API, one function each."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from boxship.errors import Internal, Invalid, NotFound
from boxship.images.remote.connection import Connection
from boxship.images.remote.manifests import ACCEPT, MANIFEST_BYTES, check_document, read_aside
from boxship.images.remote.model import Document
from boxship.spec import digest as digests
from boxship.spec.image import Descriptor, Index
from boxship.transport.client import Answer

PAGE_BYTES = 8 * 1024 * 1024
PAGES = 1000  # of tags or referrers
LIST_BYTES = 32 * 1024 * 1024  # of all pages together
PAGE_ENTRIES = 1000
Pieces = Callable[[], AsyncIterator[bytes]]


class Repository:
    """`path` is the repository's name there. Errors are those of `failures`."""

    def __init__(self, connection: Connection, path: str) -> None:
        self.connection = connection
        self.path = path
        self._read = (f"repository:{path}:pull",)
        self._write = (f"repository:{path}:pull,push",)

    def _url(self, rest: str) -> str:
        return f"/v2/{self.path}/{rest}"

    # manifests

    async def manifest(self, wanted: str) -> Document:
        """A manifest or index by tag or digest, verified. Raises NotFound, Invalid (it lies), Unsupported."""
        headers = {"Accept": ", ".join(ACCEPT)}
        async with self.connection.request(
            "GET", self._url(f"manifests/{wanted}"), scopes=self._read, headers=headers
        ) as answer:
            data = await answer.read(MANIFEST_BYTES)
            named = answer.headers.get("Docker-Content-Digest", "")
            kind = answer.headers.get("Content-Type", "")
        return await read_aside(
            lambda document: check_document(wanted, document.data, kind, named), Document(wanted, kind, data)
        )

    async def manifest_digest(self, wanted: str) -> str:
        """What the registry says is the digest of a tag, "" where it says nothing. Raises NotFound."""
        headers = {"Accept": ", ".join(ACCEPT)}
        async with self.connection.request(
            "HEAD", self._url(f"manifests/{wanted}"), scopes=self._read, headers=headers
        ) as answer:
            named = answer.headers.get("Docker-Content-Digest", "")
            return named if digests.is_digest(named) else ""

    async def put_manifest(self, wanted: str, media_type: str, data: bytes) -> bool:
        """Store a manifest under a tag or its digest; whether the registry looked at its subject itself."""
        async with self.connection.request(
            "PUT",
            self._url(f"manifests/{wanted}"),
            scopes=self._write,
            headers={"Content-Type": media_type},
            body=data,
            expect=(200, 201, 202),
        ) as answer:
            said = answer.headers.get("Docker-Content-Digest", "")
            if said.startswith("sha256:") and said != digests.of_bytes(data):
                raise Invalid(f"cannot push to {self.path}: the registry stored another manifest: {said}")
            return "OCI-Subject" in answer.headers

    async def tags(self) -> list[str]:
        """Every tag. Raises NotFound."""
        found: list[str] = []
        async for page in self._pages(self._url(f"tags/list?n={PAGE_ENTRIES}")):
            listed = page.get("tags") or []
            if not isinstance(listed, list) or not all(isinstance(tag, str) for tag in listed):
                raise Invalid(f"cannot list the tags of {self.path}: the registry's answer is none")
            found += listed
        return list(dict.fromkeys(found))

    async def referrers(self, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """The manifests about that one; from the tag that stands in for the list where the registry has none."""
        found: list[Descriptor] = []
        try:
            async for page in self._pages(self._url(f"referrers/{digest}")):
                found += msgspec.convert(page, Index, strict=False).manifests
        except (NotFound, Invalid):
            found = list(await self._referrers_tag(digest))
        except msgspec.MsgspecError as error:
            raise Invalid(f"cannot list what refers to {digest}: {error}") from error
        return tuple(entry for entry in found if not artifact_type or entry.artifactType == artifact_type)

    async def _referrers_tag(self, digest: str) -> tuple[Descriptor, ...]:
        try:
            document = await self.manifest(referrers_tag(digest))
        except NotFound:
            return ()
        try:
            return msgspec.json.decode(document.data, type=Index).manifests
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Invalid(f"cannot list what refers to {digest}: {error}") from error

    async def _pages(self, url: str) -> AsyncIterator[dict[str, Any]]:
        seen: set[str] = set()
        size = 0
        while url and url not in seen and len(seen) < PAGES:
            seen.add(url)
            async with self.connection.request("GET", url, scopes=self._read) as answer:
                data = await answer.read(PAGE_BYTES)
                size += len(data)
                if size > LIST_BYTES:
                    raise Invalid(f"cannot read the list of {self.path}: it has more than {LIST_BYTES} bytes")
                try:
                    page = msgspec.json.decode(data, type=dict[str, Any])
                except (msgspec.DecodeError, RecursionError) as error:
                    raise Invalid(f"cannot read the list of {self.path}: {error}") from error
                url = self._next(answer)
            yield page

    def _next(self, answer: Answer) -> str:
        """The next page's address from the Link field; never one of another host."""
        link = answer.headers.get("Link", "")
        if 'rel="next"' not in link or not link.lstrip().startswith("<"):
            return ""
        try:
            parts = urlsplit(urljoin(answer.url, link.partition("<")[2].partition(">")[0]))
        except ValueError as error:
            raise Invalid(f"cannot read the list of {self.path}: its next page has no address: {error}") from None
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    # blobs

    async def has_blob(self, digest: str) -> bool:
        """Whether the repository has the blob."""
        try:
            async with self.connection.request("HEAD", self._url(f"blobs/{digest}"), scopes=self._write):
                return True
        except NotFound:
            return False

    @asynccontextmanager
    async def blob(self, digest: str, start: int = 0) -> AsyncIterator[tuple[Answer, int]]:
        """The blob's bytes from `start`, where the registry can; else from 0: the second value says which."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        async with self.connection.request(
            "GET", self._url(f"blobs/{digest}"), scopes=self._read, headers=headers, expect=(200, 206)
        ) as answer:
            if answer.status == 206:
                unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
                if unit != "bytes" or rest.partition("-")[0] != str(start):
                    raise Internal(f"cannot read blob {digest}: asked from byte {start}, the registry sends {rest!r}")
            yield answer, start if answer.status == 206 else 0

    async def small_blob(self, digest: str, limit: int) -> bytes:
        """The whole of a small blob, verified. Raises Invalid where it lies or has more bytes."""
        async with self.blob(digest) as (answer, _):
            data = await answer.read(limit)
        if not digests.matches(digest, data):
            raise Invalid(f"cannot read blob {digest}: its content has the digest {digests.of_bytes(data)}")
        return data

    async def mount(self, digest: str, other: str) -> str:
        """Take the blob over from another repository of the registry: "" if that worked, else the address of an upload
        that has begun instead."""
        scopes = (*self._write, f"repository:{other}:pull")
        url = self._url(f"blobs/uploads/?mount={digest}&from={other}")
        async with self.connection.request(
            "POST", url, scopes=scopes, headers=EMPTY, body=b"", expect=(201, 202)
        ) as got:
            return "" if got.status == 201 else self._location(got)

    async def begin_upload(self) -> str:
        """The address of a new upload."""
        url = self._url("blobs/uploads/")
        async with self.connection.request(
            "POST", url, scopes=self._write, headers=EMPTY, body=b"", expect=(202,)
        ) as got:
            return self._location(got)

    async def upload_rest(self, location: str, digest: str, pieces: Pieces, size: int) -> None:
        """Send the (rest of the) blob and close the upload."""
        glue = "&" if "?" in location else "?"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        async with self.connection.request(
            "PUT",
            f"{location}{glue}digest={digest}",
            scopes=self._write,
            headers=headers,
            body=pieces if size else b"",
            expect=(200, 201, 202, 204),
        ):
            pass

    async def upload_part(self, location: str, pieces: Pieces, start: int, size: int) -> str:
        """Send one part; the address for the next."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
            "Content-Range": f"{start}-{start + size - 1}",
        }
        async with self.connection.request(
            "PATCH", location, scopes=self._write, headers=headers, body=pieces, expect=(202, 204)
        ) as answer:
            return self._location(answer) if "Location" in answer.headers else location

    async def upload_status(self, location: str) -> tuple[str, int]:
        """How many bytes of an upload are there, and its address from now on."""
        async with self.connection.request("GET", location, scopes=self._write, expect=(200, 204)) as answer:
            last = answer.headers.get("Range", "").partition("-")[2]
            size = int(last) + 1 if last.isascii() and last.isdigit() else 0
            if answer.headers.get("Range", "") == "0-0":
                size = 0  # some say so of nothing; one byte sent again does no harm
            return (self._location(answer) if "Location" in answer.headers else location), size

    def _location(self, answer: Answer) -> str:
        where = answer.headers.get("Location", "")
        if not where:
            raise Invalid(f"cannot push to {self.path}: the registry names no address for the upload")
        return self.connection.led(answer.url, where, "an upload")


EMPTY = {"Content-Length": "0"}


def referrers_tag(digest: str) -> str:
    """The tag that stands in for the list of referrers (OCI distribution, "Referrers Tag Schema")."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


__all__: Sequence[str] = ("Repository", "referrers_tag")
