"""boxship pki policy: check a policy's file, and explain what it decides about an image."""

from pathlib import Path

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command
from boxship.cli.table import align
from boxship.cli.trusting import explain, read_policy
from boxship.pki import cosign

COMMAND = Command("check FILE [IMAGE]", least=2, most=3, completes=("", "files", "images"))


def run(call: Call) -> int:
    if call.arguments[0] != "check":
        raise Failure(f"unknown command: boxship pki policy {call.arguments[0]} (it must be check)")
    policy = read_policy(Path(call.arguments[1]))
    if len(call.arguments) > 2:
        return explain(call, policy, call.arguments[2])
    rows = [("RULE", "ACTION", "COUNT", "KEYS")]
    for rule in policy.rules:
        keys = ", ".join(rule.keys) or "-"
        rows.append((rule.title, rule.action, str(rule.count) if rule.keys else "-", keys))
    rows.append(("default", policy.default, "-", "-"))
    call.write(align(rows))
    broken = 0
    for name, key in policy.keys.items():
        if isinstance(key, str):
            broken += 1
            call.line(f"key {name}: {key}")
        else:
            call.line(f"key {name}: {cosign.fingerprint(key)}")
    return 1 if broken else 0
