"""--host-ca: the machine's certificate authorities for one step, for users behind a proxy that signs anew."""

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
_FIRST = CA_PLACES[0]
CA_ENVIRONMENT = tuple(
    f"{name}={_FIRST}"
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
