"""The JSON form of an instruction's arguments: an array of strings. Pure."""

import json

import msgspec

from boxship.errors import Invalid

_DECODER = json.JSONDecoder()


def json_words(text: str) -> tuple[str, ...] | None:
    """The words of the array that the text begins with, or None where it begins with none: then it is the shell form.
    Text behind the array is not looked at. Raises Invalid for an array of other things than strings."""
    text = text.lstrip()
    if not text.startswith("["):
        return None
    try:
        value: object = msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        try:
            value = _DECODER.raw_decode(text)[0]
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list):
        return None
    if any(not isinstance(word, str) for word in value):
        raise Invalid("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(word.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for word in value)
