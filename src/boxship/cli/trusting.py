"""What `sign`, `verify` and `pki policy` share: an image's signatures from the daemon, and a policy's decision."""

import base64
from pathlib import Path

import msgspec

from boxship.cli.call import Call, Failure
from boxship.cli.escape import path_of
from boxship.errors import Invalid
from boxship.pki import policy as policies
from boxship.pki.files import read_file
from boxship.pki.payloads import Signature
from boxship.pki.policy import Policy


class Signed(msgspec.Struct, frozen=True):
    """What the daemon says of an image."""

    reference: str
    digest: str
    digests: tuple[str, ...]
    signatures: tuple[Signature, ...]


def signed(call: Call, image: str) -> Signed:
    """The image's digests and signatures. Raises the daemon's errors."""
    answer = call.daemon.get(f"/boxship/images/{path_of(image)}/signatures")
    try:
        signatures = [
            Signature(base64.b64decode(entry["Payload"], validate=True), entry["Signature"])
            for entry in answer["Signatures"]
        ]
        return Signed(answer["Reference"], answer["Digest"], tuple(answer["Digests"]), tuple(signatures))
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid(f"cannot read the signatures of {image}: {error!r}") from error


def annotation_of(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Failure(f"cannot use the annotation {text!r}: write KEY=VALUE")
    return name, value


def read_policy(path: Path) -> Policy:
    return policies.parse(read_file(path), path)


def explain(call: Call, policy: Policy, image: str) -> int:
    """Print what the policy says of the image, and why; 1 where it is refused."""
    found = signed(call, image)
    if not found.reference:
        raise Failure(f"cannot ask the policy about {image}: it has no name")
    rule = policy.rule_for(found.reference)
    decision = policies.decide(policy, rule, found.reference, found.digests, found.signatures)
    call.line(f"{'accepted' if decision.accepted else 'refused'}: {image} ({found.digest})")
    call.line(f"  repository  {found.reference}")
    call.line(f"  rule        {rule.title}: {rule.action}")
    for reason in decision.reasons:
        call.line(f"  because     {reason}")
    return 0 if decision.accepted else 1
