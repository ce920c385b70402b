"""`--mount`, `--volume` and `--tmpfs` to the API's mounts, binds and volumes."""

from __future__ import annotations

import os.path
from collections.abc import Sequence

from boxship.cli.daemon import Object
from boxship.cli.option_text import split_commas
from boxship.errors import BoxshipError, Invalid
from boxship.spec.quantity import parse_bytes

SWITCHES = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive")
RECURSION = {
    "enabled": {},
    "disabled": {"NonRecursive": True},
    "writable": {"ReadOnlyNonRecursive": True},
    "readonly": {"ReadOnlyForceRecursive": True},
}


def parse_mount(text: str) -> Object:
    """One `--mount` value, such as "type=bind,source=/a,target=/b,readonly"."""
    mount: Object = {"Type": "volume"}
    for field in split_commas(text):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if not equals and key not in SWITCHES:
            raise Invalid(f"invalid field '{field}' in --mount: it must be a key=value pair")
        try:
            _set_field(mount, key, value if equals else "true")
        except (ValueError, BoxshipError) as error:
            raise Invalid(f"invalid value for {key} in --mount: {value}: {error}") from None
    if not mount.get("Target"):
        raise Invalid("target is required in --mount")
    for options, kind in (("BindOptions", "bind"), ("VolumeOptions", "volume"), ("TmpfsOptions", "tmpfs")):
        if options in mount and mount["Type"] != kind:
            raise Invalid(f"cannot mix '{kind}-*' options with mount type '{mount['Type']}'")
    return mount


def _switch(value: str) -> bool:
    if value.lower() in ("1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise ValueError("it must be true or false")


def _set_field(mount: Object, key: str, value: str) -> None:
    if key == "type":
        mount["Type"] = value.lower()
    elif key in ("source", "src"):
        # A relative path means one of ours, as the daemon cannot know where we are.
        mount["Source"] = os.path.abspath(value) if value == "." or value.startswith(("./", "../")) else value
    elif key in ("target", "dst", "destination"):
        mount["Target"] = value
    elif key in ("readonly", "ro"):
        mount["ReadOnly"] = _switch(value)
    elif key == "consistency":
        mount["Consistency"] = value.lower()
    elif key.startswith("bind-"):
        _set_bind(mount.setdefault("BindOptions", {}), key, value)
    elif key.startswith("volume-"):
        _set_volume(mount.setdefault("VolumeOptions", {}), key, value)
    elif key == "image-subpath":
        mount.setdefault("ImageOptions", {})["Subpath"] = value
    elif key == "tmpfs-size":
        mount.setdefault("TmpfsOptions", {})["SizeBytes"] = parse_bytes(value)
    elif key == "tmpfs-mode":
        mount.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)
    else:
        raise ValueError("unknown option")


def _set_bind(options: Object, key: str, value: str) -> None:
    if key == "bind-propagation":
        options["Propagation"] = value.lower()
    elif key == "bind-nonrecursive":
        options["NonRecursive"] = _switch(value)
    elif key == "bind-recursive":
        if value not in RECURSION:
            raise ValueError(f"it must be one of {', '.join(RECURSION)}")
        options.update(RECURSION[value])
    else:
        raise ValueError("unknown option")


def _set_volume(options: Object, key: str, value: str) -> None:
    if key == "volume-nocopy":
        options["NoCopy"] = _switch(value)
    elif key == "volume-subpath":
        options["Subpath"] = value
    elif key == "volume-label":
        name, _, text = value.partition("=")
        options.setdefault("Labels", {})[name] = text
    elif key == "volume-driver":
        options.setdefault("DriverConfig", {})["Name"] = value
    elif key == "volume-opt":
        name, _, text = value.partition("=")
        options.setdefault("DriverConfig", {}).setdefault("Options", {})[name] = text
    else:
        raise ValueError("unknown option")


def split_volumes(words: Sequence[str]) -> tuple[list[str], dict[str, Object]]:
    """`--volume` words as binds ("source:target[:options]") and anonymous volumes by target."""
    binds: list[str] = []
    anonymous: dict[str, Object] = {}
    for word in words:
        source, colon, rest = word.partition(":")
        if not colon:
            anonymous[word] = {}
        elif source.startswith("."):
            binds.append(f"{os.path.abspath(source)}:{rest}")
        else:
            binds.append(word)
    return binds, anonymous


def split_tmpfs(words: Sequence[str]) -> dict[str, str]:
    """`--tmpfs` words as options by target."""
    return {word.partition(":")[0]: word.partition(":")[2] for word in words}
