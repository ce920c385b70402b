"""boxship version: of this program and of the daemon."""

from __future__ import annotations

import os
import sys

from boxship import __version__
from boxship.cli.call import Call
from boxship.cli.daemon import NEWEST_VERSION, Object
from boxship.cli.flags import Command, Flag
from boxship.errors import BoxshipError

COMMAND = Command(
    flags=(
        Flag("-f, --format string", "Format output: 'json' or a Go template"),
        Flag("--short", ""),
    ),
)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def run(call: Call) -> int:
    if call.options.on("short"):
        call.line(f"Boxship version {__version__}")
        return 0
    server: Object | None = None
    failure: BoxshipError | None = None
    try:
        server = call.daemon.get("/version")
    except BoxshipError as error:
        failure = error
    client = _client(call.daemon.version)
    form = call.options.text("format")
    if form:
        from boxship.cli.table import unescape
        from boxship.cli.template import Template

        if failure and "Server" in form:
            raise failure
        template = Template(unescape("{{json .}}" if form == "json" else form))
        call.line(template.apply({"Client": client, "Server": _with_go_names(server, form)}))
    else:
        call.write(_text(client, server))
    if failure:
        raise failure
    return 0


def _client(version: str) -> Object:
    machine = os.uname().machine
    return {
        "Version": __version__,
        "ApiVersion": version,
        "APIVersion": version,
        "DefaultAPIVersion": NEWEST_VERSION,
        "PythonVersion": sys.version.partition(" ")[0],
        "Os": "linux",
        "Arch": ARCHITECTURES.get(machine, machine),
    }


def _with_go_names(server: Object | None, form: str) -> Object | None:
    """Templates say `.APIVersion` where the wire says `ApiVersion`."""
    if server is None or form == "json":
        return server
    return {**server, "APIVersion": server.get("ApiVersion", "")}


def _text(client: Object, server: Object | None) -> str:
    used, newest = client["ApiVersion"], client["DefaultAPIVersion"]
    lines = [
        "Client:",
        f" Version:           {client['Version']}",
        f" API version:       {used}{'' if used == newest else f' (downgraded from {newest})'}",
        f" Python version:    {client['PythonVersion']}",
        f" OS/Arch:           {client['Os']}/{client['Arch']}",
    ]
    if server is None:
        return "\n".join(lines) + "\n"
    platform = (server.get("Platform") or {}).get("Name") or ""
    lines += ["", f"Server: {platform}".rstrip() if platform else "Server:"]
    for component in server.get("Components") or [
        {"Name": "Engine", "Version": server.get("Version"), "Details": server}
    ]:
        lines.append(f" {component['Name']}:")
        details = component.get("Details") or {}
        rows = [("Version", component.get("Version") or "")]
        if component["Name"] == "Engine":
            minimum = details.get("MinAPIVersion") or server.get("MinAPIVersion")
            rows += [
                ("API version", f"{details.get('ApiVersion') or server.get('ApiVersion')} (minimum version {minimum})"),
                ("Go version", details.get("GoVersion") or ""),
                ("Git commit", details.get("GitCommit") or ""),
                ("Built", details.get("BuildTime") or ""),
                ("OS/Arch", f"{details.get('Os') or server.get('Os')}/{details.get('Arch') or server.get('Arch')}"),
                ("Experimental", details.get("Experimental") or "false"),
            ]
        else:
            rows += [(name, value) for name, value in details.items()]
        lines += [f"  {name + ':':<17} {value}" for name, value in rows if value or name in ("Version", "GitCommit")]
    return "\n".join(lines) + "\n"
