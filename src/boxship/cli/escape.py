"""Percent-encoding for paths and queries. `urllib.parse` does the same and is slow to import."""

PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")
PLAIN_IN_PATH = PLAIN | frozenset(b"/:@")


def escape(text: str, plain: frozenset[int] = PLAIN) -> str:
    """The text with everything but unreserved characters as %XX of its UTF-8 bytes."""
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def path_of(text: str) -> str:
    """A name as a part of a path; slashes and colons of image names stay."""
    return escape(text, PLAIN_IN_PATH)
