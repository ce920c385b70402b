"""boxship pki check: what is wrong with the authority's files, or ends soon."""

import json

from boxship.cli.authority import DIRECTORY, FORMAT, PASSPHRASE, folder_of, is_json, now, passphrase_of
from boxship.cli.call import Call
from boxship.cli.flags import Command
from boxship.cli.table import align
from boxship.pki import verify

COMMAND = Command(flags=(DIRECTORY, FORMAT, PASSPHRASE), details="The exit code is 1 where something is bad.")


def run(call: Call) -> int:
    wants_json = is_json(call)
    found = verify.verify(folder_of(call), now(), passphrase_of(call))
    if wants_json:
        for finding in found:
            call.line(json.dumps({"path": finding.path, "state": finding.state, "text": finding.text}))
    else:
        call.write(align([("STATE", "FILE", ""), *((entry.state, entry.path, entry.text) for entry in found)]))
    return 1 if any(finding.state == "bad" for finding in found) else 0
