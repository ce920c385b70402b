"""boxship cluster token: let another machine join, and print the line that does it."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.cluster.places import ROOT_FLAGS
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "",
    (
        *ROOT_FLAGS,
        Flag("--server string", "How the other machine reaches the API (default: as the kubeconfig says)"),
        Flag("--ttl duration", "How long the token is good for", 24 * 3600 * 10**9),
    ),
    details="The token is a secret of the cluster: kubectl -n kube-system delete secret bootstrap-token-ID ends it.",
)


def run(call: Call) -> int:
    from boxship.cli.cluster.joining import make_token, pin_of, server_of
    from boxship.cli.cluster.places import places_of

    places = places_of(call)
    seconds = call.options.number("ttl") // 10**9
    if seconds < 60:
        raise Failure("cannot make a token for less than a minute")
    token = make_token(places, seconds)
    server = call.options.text("server") or server_of(places)
    call.line(f"boxship node join {server} --token {token} --ca-hash {pin_of(places)}")
    return 0
