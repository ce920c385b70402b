"""--host-ca: the machine's certificate authorities for one step, for users behind a proxy that signs anew.

Programs find the bundle by variables of the environment, where nothing can replace it, and at the usual places. There
it is no mount, so that a package may put its own in place of it; a step that only added to it keeps nothing of that.
"""

import os

from boxship.errors import NotFound

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
CA_PLACES = BUNDLES  # every program looks at one of them
CA_TARGET = "/dev/boxship-ca.crt"
CA_ENVIRONMENT = tuple(
    f"{name}={CA_TARGET}"
    for name in (
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "PIP_CERT",
        "REQUESTS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "npm_config_cafile",
        "GIT_SSL_CAINFO",
        "AWS_CA_BUNDLE",
    )
)


def find_bundle(named: str) -> str:
    """The machine's bundle. NotFound where there is none."""
    for path in (named,) if named else BUNDLES:
        if os.path.isfile(path):
            return os.path.realpath(path)
    raise NotFound(f"cannot use the host's certificate authorities: {named or ', '.join(BUNDLES)} is not there")


def take_out(folder: str, bundle: str) -> list[str]:
    """Delete the host's bundle from a step's changes, where the step made a copy of it by changing it; the paths.
    Blocks."""
    found = []
    with open(bundle, "rb") as file:
        content = file.read()
    for place in CA_PLACES:
        path = locate_changed(folder, place)
        if path is None:
            continue
        with open(path, "rb") as file:
            copied = file.read(len(content)) == content
        if copied:
            os.unlink(path)
            found.append(place)
    return found


def locate_changed(folder: str, place: str) -> str | None:
    """A regular file of a step's changes, reached without any link."""
    current = folder
    for part in place.strip("/").split("/"):
        current = f"{current}/{part}"
        if os.path.islink(current):
            return None
    return current if os.path.isfile(current) else None
