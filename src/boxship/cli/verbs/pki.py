"""`boxship pki`: the machine's certificate authority, for a daemon that listens on TCP and for its clients.

It works on files and asks no daemon. The authority's own work is done by the room `pki`.
"""

import datetime
import json
from pathlib import Path

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag
from boxship.cli.table import align
from boxship.pki import authority, files, places, verify
from boxship.pki.certificates import LEAF_DAYS
from boxship.pki.names import check_name, subject_for

DEFAULT_FOLDER = "/etc/boxship/pki"

COMMAND = Command(
    "init | issue server NAME [ADDRESS...] | issue client NAME | show | check",
    (
        Flag("-d, --directory string", "Where the authority lies", DEFAULT_FOLDER, completes="files"),
        Flag("--name string", "init: name of the authority in its certificates", "Boxship"),
        Flag("--days int", "issue: how long the certificate holds", LEAF_DAYS),
        Flag("--passphrase-file string", "File (mode 0600) with the passphrase of the keys", completes="files"),
        Flag("--format string", 'show, check: "table" or "json"', "table"),
    ),
    least=1,
    most=None,
    completes=("init", "issue", "show", "check"),
    details=(
        "init makes an authority; issue makes a folder with ca.pem, cert.pem and key.pem, as the daemon and the stock\n"
        "client (DOCKER_CERT_PATH) want them; show lists what was issued; check looks for what is wrong or ends soon."
    ),
)


def run(call: Call) -> int:
    verbs = {"init": _init, "issue": _issue, "show": _show, "check": _check}
    verb = verbs.get(call.arguments[0])
    if verb is None:
        raise Failure(f"unknown command: boxship pki {call.arguments[0]} (it must be {', '.join(verbs)})")
    if call.arguments[0] != "issue" and len(call.arguments) > 1:
        raise Failure(f"'boxship pki {call.arguments[0]}' accepts no arguments")
    if call.options.text("format") not in ("table", "json"):
        raise Failure(f"cannot print as {call.options.text('format')!r}: it must be table or json")
    return verb(call)


def _init(call: Call) -> int:
    folder = _folder(call)
    authority.create(folder, call.options.text("name"), _now(), _passphrase(call))
    call.line(f"made the authority in {folder}")
    if not call.options.given("passphrase-file"):
        call.line(f"its passphrase is in {folder / places.PASSPHRASE}: keep a copy, and guard it")
    return 0


def _issue(call: Call) -> int:
    words = call.arguments[1:]
    if len(words) < 2 or words[0] not in ("server", "client") or (words[0] == "client" and len(words) > 2):
        raise Failure("usage: boxship pki issue server NAME [ADDRESS...] | boxship pki issue client NAME")
    kind, name, places = words[0], check_name(words[1]), tuple(words[2:])
    opened = authority.open_authority(_folder(call), _passphrase(call))
    days = call.options.number("days")
    if kind == "server":
        made = opened.issue_server(subject_for(name, places or (name,)), _now(), days)
        call.line(f"made {made}")
        call.line(f"the daemon takes it by: --tls-ca {made}/ca.pem --tls-cert {made}/cert.pem --tls-key {made}/key.pem")
    else:
        made = opened.issue_client(subject_for(name, ()), _now(), days)
        call.line(f"made {made}")
        call.line(f"a client takes it by: DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={made} docker -H tcp://HOST:2376 ps")
    return 0


def _show(call: Call) -> int:
    found = places.summaries(_folder(call))
    if call.options.text("format") == "json":
        for summary in found:
            call.line(
                json.dumps(
                    {
                        "name": summary.name,
                        "kind": summary.kind,
                        "begins": summary.begins.isoformat(),
                        "ends": summary.ends.isoformat(),
                        "places": summary.places,
                        "serial": summary.serial,
                        "sha256": summary.fingerprint,
                        "path": summary.path,
                    }
                )
            )
        return 0
    rows = [("NAME", "KIND", "UNTIL", "ADDRESSES", "SHA256")]
    rows += [
        (entry.name, entry.kind, f"{entry.ends:%Y-%m-%d}", ",".join(entry.places) or "-", entry.fingerprint[:16])
        for entry in found
    ]
    call.write(align(rows))
    return 0


def _check(call: Call) -> int:
    found = verify.verify(_folder(call), _now(), _passphrase(call))
    if call.options.text("format") == "json":
        for finding in found:
            call.line(json.dumps({"path": finding.path, "state": finding.state, "text": finding.text}))
    else:
        call.write(align([("STATE", "FILE", ""), *((entry.state, entry.path, entry.text) for entry in found)]))
    return 1 if any(finding.state == "bad" for finding in found) else 0


def _folder(call: Call) -> Path:
    return Path(call.options.text("directory"))


def _passphrase(call: Call) -> bytes | None:
    path = call.options.text("passphrase-file")
    return files.read_passphrase(Path(path)) if path else None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
