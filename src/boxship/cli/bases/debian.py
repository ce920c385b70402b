"""The Debian base: from this machine's own package sources to one mmdebstrap call. Pure: nothing is read or started.

Only sources of the machine's own release are taken, with the suite put in their place; third-party ones stay out.
"""

import re
from collections.abc import Sequence

from boxship.errors import Invalid

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHANGES = ('CMD ["bash"]', f"ENV PATH={PATH}")
WITHOUT_UPDATES = frozenset({"sid", "unstable"})
SUFFIXES = ("", "-updates", "-security")

# Packages bring their own copyright files; the rest of the documentation has no reader in a container.
EXCLUDED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/man/*", "/usr/share/locale/*")
INCLUDED = ("/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias")
APT_SETTINGS = """\
// A container keeps no downloaded packages and no translations of their descriptions.
Acquire::Languages "none";
Acquire::GzipIndexes "true";
APT::Keep-Downloaded-Packages "false";
"""
# Package scripts ask this program whether they may start a service: not while an image is made.
NO_SERVICES = "#!/bin/sh\nexit 101\n"

_SUITE = re.compile(r"[a-z][a-z0-9.-]{0,40}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.:=~_-]*")

Source = tuple[str, str, tuple[str, ...]]  # URI, suite, components


def check_suite(suite: str) -> str:
    if not _SUITE.fullmatch(suite):
        raise Invalid(f"cannot use the suite {suite!r}: not a name such as bookworm")
    return suite


def split_packages(texts: Sequence[str]) -> tuple[str, ...]:
    """Package names from "--include a,b --include c". Raises Invalid."""
    names = [name for text in texts for name in text.replace(",", " ").split()]
    for name in names:
        if not _PACKAGE.fullmatch(name):
            raise Invalid(f"cannot include {name!r}: not a package name")
    return tuple(dict.fromkeys(names))


def parse_lines(text: str) -> list[Source]:
    """The sources of a one-line-style file (sources.list)."""
    found: list[Source] = []
    for line in text.splitlines():
        words = re.sub(r"\[[^\]]*\]", "", line.partition("#")[0]).split()
        if len(words) >= 4 and words[0] == "deb":
            found.append((words[1], words[2], tuple(words[3:])))
    return found


def parse_stanzas(text: str) -> list[Source]:
    """The sources of a deb822-style file (*.sources); disabled ones are left out."""
    found: list[Source] = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[name] = fields.get(name, "") + " " + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            found += [(uri, suite, components) for suite in fields.get("suites", "").split() if components]
    return found


def sources_for(suite: str, machine_suite: str, sources: Sequence[Source], mirror: str = "") -> list[Source]:
    """The sources of `suite`: `mirror` where one is named, else the mirrors of the machine's own release.

    Raises Invalid where there is neither.
    """
    if mirror:
        return [(mirror, suite, ("main",))]
    found: list[Source] = []
    for uri, name, components in sources:
        suffix = name.removeprefix(machine_suite)
        if machine_suite and name.startswith(machine_suite) and suffix in SUFFIXES:
            found.append((uri, suite + suffix, components))
    if not any(name == suite for _, name, _ in found):
        raise Invalid(f"cannot make debian:{suite}: this machine's apt names no Debian mirror; name one with --mirror")
    if suite in WITHOUT_UPDATES:
        found = [source for source in found if source[1] == suite]
    return list(dict.fromkeys(found))


def render_sources(sources: Sequence[Source]) -> str:
    return "".join(f"deb {uri} {suite} {' '.join(components)}\n" for uri, suite, components in sources)


def apt_proxies(dump: str) -> tuple[str, ...]:
    """The machine's proxy settings, out of what `apt-config dump` prints."""
    wanted = re.compile(r'Acquire::(https?|ftp)::Proxy(-Auto-Detect)? "[^"]+";')
    return tuple(line for line in dump.splitlines() if wanted.fullmatch(line))


def build_command(
    suite: str, sources: Sequence[Source], packages: Sequence[str], options: Sequence[str], files: str
) -> list[str]:
    """The mmdebstrap call that writes the tar stream to stdout. `files` is a folder that is copied into the tree
    before packages are installed; the sources come on stdin."""
    include = list(packages)
    if any(uri.startswith("https:") for uri, _, _ in sources) and "ca-certificates" not in include:
        include.append("ca-certificates")
    command = ["mmdebstrap", "--variant=minbase", "--format=tar"]
    if include:
        command.append(f"--include={','.join(include)}")
    command += [f"--aptopt={option}" for option in options]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    command += [f"--dpkgopt=path-include={pattern}" for pattern in INCLUDED]
    command.append("--dpkgopt=force-unsafe-io")
    # Our files come before the packages, and the question about services is answered by our own program, which stays.
    command += ["--skip=chroot/policy-rc.d", f"--essential-hook=sync-in {files} /"]
    command.append('--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/hostname" "$1/etc/resolv.conf"')
    return [*command, suite, "-", "-"]
