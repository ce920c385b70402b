"""The settings for registries of others, from the options and the environment."""

from collections.abc import Mapping
from pathlib import Path

from boxship.errors import Invalid
from boxship.images.remote.client import check
from boxship.images.remote.model import RemoteSettings
from boxship.main.options import Options
from boxship.spec.reference import DEFAULT_DOMAIN
from boxship.transport.client import Proxies

CERTIFICATE_FOLDERS = ("/etc/docker/certs.d", "/etc/boxship/certs.d")


def remote_settings(options: Options, environment: Mapping[str, str]) -> RemoteSettings:
    """What the operator said. A proxy option wins over the environment. Raises Invalid naming what is wrong."""
    mirrors: dict[str, tuple[str, ...]] = {}
    for text in options.mirror:
        domain, separator, address = text.partition("=")
        if not separator or not domain:
            raise Invalid(f"cannot use mirror {text}: write DOMAIN=URL")
        mirrors[domain] = (*mirrors.get(domain, ()), address)
    if options.registry_mirror:
        mirrors[DEFAULT_DOMAIN] = (*options.registry_mirror, *mirrors.get(DEFAULT_DOMAIN, ()))

    def proxy(given: str, name: str) -> str:
        return given or environment.get(name) or environment.get(name.lower()) or ""

    for path in options.registry_ca:
        if not Path(path).is_file():
            raise Invalid(f"cannot use registry-ca {path}: there is no such file")
    spared = proxy(",".join(options.no_proxy), "NO_PROXY")
    settings = RemoteSettings(
        mirrors=mirrors,
        insecure=options.insecure_registry,
        proxies=Proxies(
            http=proxy(options.http_proxy, "HTTP_PROXY"),
            https=proxy(options.https_proxy, "HTTPS_PROXY"),
            none_for=tuple(rule.strip() for rule in spared.split(",") if rule.strip()),
        ),
        # The machine's own authority signs the certificate of its own registry, and of its neighbours'.
        extra_ca=(*options.registry_ca, *((f"{options.pki}/ca.pem",) if options.pki else ())),
        certificate_folders=CERTIFICATE_FOLDERS,
        push_compression=options.push_compression,
    )
    check(settings)
    return settings
