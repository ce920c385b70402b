"""boxship pki issue: a certificate with its key, for a server, a client, or a signer of messages."""

from boxship.cli.authority import DAYS, DIRECTORY, KEY_TYPE, PASSPHRASE, VALID, folder_of, life_of, now, passphrase_of
from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command
from boxship.pki import authority
from boxship.pki.certificates import USAGES
from boxship.pki.names import check_name, subject_for

COMMAND = Command(
    "server NAME [ADDRESS...] | client NAME | signer NAME",
    (DAYS, DIRECTORY, KEY_TYPE, PASSPHRASE, VALID),
    least=2,
    most=None,
    details=(
        "Makes a folder with ca.pem, cert.pem and key.pem, as the daemon and the stock client (DOCKER_CERT_PATH) want\n"
        "them. A server without an address is reached under its name."
    ),
)


def run(call: Call) -> int:
    kind, name, *words = call.arguments
    if kind not in USAGES or (kind != "server" and words):
        raise Failure(f"usage: boxship pki issue {COMMAND.usage}")
    check_name(name)
    subject = subject_for(name, tuple(words) or (name,)) if kind == "server" else subject_for(name, ())
    opened = authority.open_authority(folder_of(call), passphrase_of(call))
    made = opened.issue(kind, subject, now(), life_of(call), call.options.text("key-type"))
    call.line(f"made {made}")
    if kind == "server":
        call.line(f"the daemon takes it by: --tls-ca {made}/ca.pem --tls-cert {made}/cert.pem --tls-key {made}/key.pem")
    elif kind == "client":
        call.line(f"a client takes it by: DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={made} docker -H tcp://HOST:2376 ps")
    else:
        call.line(f"sign a file by: boxship pki sign --cert {made} FILE")
    return 0
