"""Platforms in words: "linux/arm64/v8", the platform of this machine, and which image runs on which platform."""

import os
import re
from collections.abc import Iterable

from boxship.errors import Invalid
from boxship.spec.image import Platform

COMPONENT = re.compile(r"[A-Za-z0-9_.-]+")
SYSTEMS = frozenset(
    "aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris windows".split()
)
ARCHITECTURES = frozenset(
    "386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc64"
    " wasm".split()
)
# Other names of an architecture, with the variant that they imply.
ALIASES = {
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "loongarch64": ("loong64", ""),
}


def normalise(platform: Platform) -> Platform:
    """The same platform with one spelling: lower case, no alias, no variant that is the default."""
    system = platform.os.lower()
    architecture = platform.architecture.lower()
    variant = platform.variant.lower()
    if architecture in ALIASES:
        architecture, implied = ALIASES[architecture]
        variant = variant or implied
    if variant and variant[0].isdigit():
        variant = "v" + variant
    if architecture == "arm":
        variant = variant or "v7"
    elif (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
        variant = ""
    return Platform(architecture, "darwin" if system == "macos" else system, variant, platform.os_version)


def host() -> Platform:
    """The platform of this machine."""
    return normalise(Platform(architecture=os.uname().machine, os="linux"))


def parse(text: str) -> Platform:
    """A platform from "os/architecture[/variant]", or from one of the two alone. Raises Invalid."""
    parts = text.split("/")
    if len(parts) > 3:
        raise Invalid(f'"{text}": cannot parse platform specifier: invalid argument')
    for part in parts:
        if not COMPONENT.fullmatch(part):
            raise Invalid(
                f'"{part}" is an invalid component of "{text}": platform specifier component must match '
                f'"^{COMPONENT.pattern}$": invalid argument'
            )
    if len(parts) > 1:
        return normalise(Platform(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) > 2 else ""))
    here = host()
    if normalise(Platform(os=text)).os in SYSTEMS:
        return normalise(Platform(os=text, architecture=here.architecture, variant=here.variant))
    alone = normalise(Platform(os=here.os, architecture=text))
    if alone.architecture not in ARCHITECTURES:
        raise Invalid(f'"{text}": unknown operating system or architecture: invalid argument')
    return alone


def describe(platform: Platform) -> str:
    """The platform as text, "linux/arm64"."""
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant) if part)


def rank(wanted: Platform, offered: Platform) -> int | None:
    """How well `offered` serves who wants `wanted`: 0 is exact, higher is worse, None does not run."""
    wanted, offered = normalise(wanted), normalise(offered)
    if (wanted.os, wanted.architecture) != (offered.os, offered.architecture):
        return None
    if wanted.variant == offered.variant:
        return 0
    if wanted.architecture not in ("arm", "amd64"):
        return None
    distance = _level(wanted.variant) - _level(offered.variant)
    return distance if distance > 0 else None


def _level(variant: str) -> int:
    """The number in "v7"; no variant counts as v1."""
    digits = variant[1:].partition(".")[0]
    return int(digits[:9]) if digits.isascii() and digits.isdigit() else 1


def matches(wanted: Platform, offered: Platform) -> bool:
    return rank(wanted, offered) is not None


def choose(wanted: Platform, offers: Iterable[Platform]) -> int | None:
    """The index of the best offer, the first among equals; None where none runs."""
    ranked = [(found, index) for index, offer in enumerate(offers) if (found := rank(wanted, offer)) is not None]
    return min(ranked)[1] if ranked else None
