"""Pages of what is reached by a proxy, with their absolute links below the proxy's own path. Pure.

As the original does (apimachinery, util/proxy): the attributes that hold an address, in pages of HTML alone; addresses
of other servers and relative ones stay.
"""

import re
import zlib
from urllib.parse import urlsplit

PAGE_BYTES = 4 << 20  # of a page that is rewritten; a larger one goes as it is
ATTRIBUTES = (
    "href",
    "src",
    "action",
    "formaction",
    "cite",
    "background",
    "codebase",
    "data",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "usemap",
    "icon",
    "classid",
)
_TAG = re.compile(rb"<[a-zA-Z][^<>]*>")
_ATTRIBUTE = re.compile(
    rb"(?i)(\s(?:" + b"|".join(name.encode() for name in ATTRIBUTES) + rb")\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s\"'>]+)"
)
GZIP = 16 + zlib.MAX_WBITS


def rewritten(page: bytes, prefix: str, host: str) -> bytes:
    """`prefix` is the path of the proxy, `host` the server's HOST:PORT as the page may name it."""
    head = prefix.rstrip("/").encode()

    def in_tag(tag: re.Match[bytes]) -> bytes:
        return _ATTRIBUTE.sub(in_attribute, tag[0])

    def in_attribute(found: re.Match[bytes]) -> bytes:
        value = found[2]
        quote = value[:1] if value[:1] in (b'"', b"'") else b""
        address = value.strip(b"\"'")
        return found[1] + quote + _placed(address, head, host) + quote

    return _TAG.sub(in_tag, page)


def _placed(address: bytes, head: bytes, host: str) -> bytes:
    text = address.decode("latin-1")
    if text.startswith("//") or "://" in text[:10]:
        try:
            parts = urlsplit(text)
        except ValueError:
            return address
        if parts.netloc != host:
            return address
        text = parts._replace(scheme="", netloc="").geturl() or "/"
        address = text.encode("latin-1")
    if not address.startswith(b"/") or address.startswith(head + b"/"):
        return address
    return head + address


def unpacked(page: bytes, encoding: str) -> bytes | None:
    """A body as it was before its Content-Encoding; None for one that cannot be read, or is too large."""
    if encoding in ("", "identity"):
        return page
    if encoding not in ("gzip", "deflate"):
        return None
    try:
        unpacker = zlib.decompressobj(GZIP if encoding == "gzip" else zlib.MAX_WBITS)
        found = unpacker.decompress(page, PAGE_BYTES)
    except zlib.error:
        return None
    return None if unpacker.unconsumed_tail else found
