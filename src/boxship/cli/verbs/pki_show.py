"""boxship pki show: what stands in the certificates of a name, also in those that were replaced."""

import json

from boxship.cli.authority import DIRECTORY, FORMAT, as_json, folder_of, is_json, print_list, state_of
from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.pki import places

COMMAND = Command("[NAME|SERIAL]", (DIRECTORY, FORMAT), most=1, details="Without a name: as boxship pki list.")


def run(call: Call) -> int:
    if not call.arguments:
        return print_list(call)
    wants_json = is_json(call)
    folder = folder_of(call)
    known = places.revocations(folder, places.one_certificate(folder / places.INTERMEDIATE))
    in_use = {entry.serial: entry.path for entry in places.summaries(folder)}
    for certificate in places.find_certificates(folder, call.arguments[0]):
        path = in_use.get(f"{certificate.serial_number:x}", "")
        entry = places.summarise(certificate, "", folder, known)
        if wants_json:
            call.line(json.dumps({**as_json(entry), "path": path}))
            continue
        call.line(f"{entry.name} ({entry.kind}, {entry.key} key): {state_of(entry)}{'' if path else ', replaced'}")
        call.line(f"  serial     {entry.serial}")
        call.line(f"  sha256     {entry.fingerprint}")
        call.line(f"  holds      {entry.begins:%Y-%m-%d %H:%M:%S} to {entry.ends:%Y-%m-%d %H:%M:%S} UTC")
        call.line(f"  addresses  {', '.join(entry.places) or '-'}")
        call.line(f"  file       {path or '-'}")
    return 0
