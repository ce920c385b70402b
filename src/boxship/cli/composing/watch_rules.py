"""The rules of `develop.watch`: which files they speak of, and where these belong in a container. Reads folders and
ignore files, changes nothing."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Mapping

from boxship.cli.building.place import ignore_lines, is_address
from boxship.compose.model import Project, Service
from boxship.compose.parts import Trigger
from boxship.errors import Invalid
from boxship.spec.ignore import BadPattern, Ignore

ALWAYS_IGNORED = ("**/.git", "**/*.swp", "**/*.swx", "**/*~", "**/.#*", "**/4913", "**/.DS_Store", "**/__jb_*__")
SYNCING = ("sync", "sync+restart", "sync+exec")
Stamp = tuple[int, int, int, int]  # modified, size, mode, inode
Files = Mapping[str, Stamp]  # by relative path; "" is the rule's path itself, where that is a file


class Rule:
    """One trigger of one service."""

    def __init__(self, service: Service, trigger: Trigger) -> None:
        self.service = service.name
        self.trigger = trigger
        self.path = os.path.normpath(trigger.path)
        self._ignore = _ignore(service, trigger, self.path)
        self._include = _patterns(service.name, trigger.include) if trigger.include else None

    @property
    def syncs(self) -> bool:
        return self.trigger.action in SYNCING

    def scan(self) -> dict[str, Stamp]:
        """What is there now, folders too, but for what is ignored."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return {}
        if not stat.S_ISDIR(found.st_mode):
            return {"": _stamp(found)}
        return dict(self._walk(""))

    def _walk(self, folder: str) -> Iterator[tuple[str, Stamp]]:
        try:
            with os.scandir(os.path.join(self.path, folder)) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError:
            return  # it went away while we looked
        for entry in entries:
            relative = f"{folder}/{entry.name}" if folder else entry.name
            try:
                info = entry.stat(follow_symlinks=False)
                is_folder = entry.is_dir(follow_symlinks=False)
            except OSError:
                continue
            excluded = self._ignore.excludes(relative, is_folder)
            if not excluded and not stat.S_ISSOCK(info.st_mode) and (is_folder or self._included(relative)):
                # A folder's own times change with what is in it, which is looked at anyway.
                yield relative, (0, 0, info.st_mode, info.st_ino) if is_folder else _stamp(info)
            if is_folder and (not excluded or self._ignore.may_descend(relative)):
                yield from self._walk(relative)

    def _included(self, relative: str) -> bool:
        return self._include is None or self._include.excludes(relative, False)

    def local(self, relative: str) -> str:
        return os.path.join(self.path, relative) if relative else self.path

    def target(self, relative: str) -> str:
        """Where a file belongs in the container."""
        if relative:
            return posixpath.join(self.trigger.target, relative)
        if self.trigger.target.endswith("/"):
            return posixpath.join(self.trigger.target, os.path.basename(self.path))
        return self.trigger.target


def _stamp(info: os.stat_result) -> Stamp:
    return info.st_mtime_ns, info.st_size, info.st_mode, info.st_ino


def _ignore(service: Service, trigger: Trigger, path: str) -> Ignore:
    """The rule's own patterns are relative to its path; those of .dockerignore to the build's folder."""
    patterns = [*ALWAYS_IGNORED, *trigger.ignore]
    build = service.build
    if build is not None and build.context and not is_address(build.context):
        context = os.path.normpath(build.context)
        if path == context or path.startswith(f"{context}/"):
            inside = os.path.relpath(path, context)
            patterns += [moved for line in ignore_lines(context, "") if (moved := _moved(line, inside))]
    return _patterns(service.name, patterns)


def _moved(line: str, inside: str) -> str:
    """A pattern of a folder as one of a folder in it; "" for what is not in it."""
    line = line.strip()
    if not line or line.startswith("#") or inside == ".":
        return "" if line.startswith("#") else line
    sign, pattern = ("!", line[1:]) if line.startswith("!") else ("", line)
    pattern = pattern.lstrip("/")
    if pattern.startswith("**/"):
        return sign + pattern
    head = f"{inside}/"
    return sign + pattern[len(head) :] if pattern.startswith(head) else ""


def _patterns(service: str, patterns: list[str] | tuple[str, ...]) -> Ignore:
    try:
        return Ignore(patterns)
    except BadPattern as error:
        raise Invalid(f"cannot watch {service}: {error}") from None


def rules_of(project: Project, names: tuple[str, ...]) -> list[Rule]:
    """The rules of the services, all that have some for no names. Raises Invalid where there are none."""
    found = [
        Rule(service, trigger)
        for name, service in project.services.items()
        if (not names or name in names) and service.develop is not None
        for trigger in service.develop.watch
    ]
    if not found:
        raise Invalid("cannot watch: none of the selected services has a develop.watch section")
    for rule in found:
        service = project.services[rule.service]
        if rule.trigger.action == "rebuild" and service.build is None:
            raise Invalid(f"cannot watch {rule.service}: it has no build section to rebuild it from")
        if rule.syncs and not rule.trigger.target:
            raise Invalid(f"cannot watch {rule.service}: {rule.trigger.path}: {rule.trigger.action} needs a target")
    return found


def differences(before: Files, after: Files) -> tuple[list[str], list[str]]:
    """(what is new or changed, what is gone), relative."""
    changed = [path for path, stamp in after.items() if before.get(path) != stamp]
    return changed, [path for path in before if path not in after]
