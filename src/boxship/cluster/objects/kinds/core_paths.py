"""Paths in the rules of core/v1: inside a volume, never out of it.

Source: "Volumes" (subPath), API reference KeyToPath and HostPathVolumeSource.
"""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects.kinds.checking import Found

MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
HIGHEST_MODE = 0o777


def validate_no_backsteps(found: Found, path: str, at: str) -> None:
    if ".." in path and ".." in path.split("/"):
        found.invalid(at, path, "must not contain '..'")


def validate_descending_path(found: Found, path: str, at: str) -> None:
    """A relative path that stays inside."""
    if path.startswith("/"):
        found.invalid(at, path, "must be a relative path")
    validate_no_backsteps(found, path, at)


def validate_local_path(found: Found, path: str, at: str) -> None:
    """The same, and its name is not kept for the writer of the volume."""
    validate_descending_path(found, path, at)
    if path.startswith("..") and not path.startswith("../"):
        found.invalid(at, path, "must not start with '..'")


def validate_mode(found: Found, source: Mapping[str, Any], key: str, path: str) -> None:
    mode = source.get(key)
    if mode is not None and not 0 <= mode <= HIGHEST_MODE:
        found.invalid(f"{path}.{key}", mode, MODE_TEXT)


def validate_items(found: Found, source: Mapping[str, Any], path: str) -> None:
    """Which keys go to which files."""
    for index, item in enumerate(source.get("items") or ()):
        at = f"{path}.items[{index}]"
        for key in ("key", "path"):
            if not item.get(key):
                found.required(f"{at}.{key}")
        validate_local_path(found, item.get("path") or "", f"{at}.path")
        validate_mode(found, item, "mode", at)
