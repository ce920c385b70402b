"""boxshipd's options: flags, and one TOML file with the same names; a flag wins over the file.

Every option is a field of `Options`, which the TOML reader takes, and a row in one of the tables of flags below it.
"""

import argparse
import ipaddress
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from boxship import __version__
from boxship.errors import Invalid, Unsupported
from boxship.logs.options import parse_options
from boxship.main.node_options import parse_node
from boxship.main.pod_users import pool_of
from boxship.spec.duration import SECOND, parse_duration
from boxship.spec.quantity import parse_bytes

DEFAULT_CONFIG = Path("/etc/boxship/boxshipd.toml")
DEFAULT_POOLS = (
    *(f"172.{number}.0.0/16:16" for number in range(17, 32)),
    "192.168.0.0/16:20",
)
LOG_LEVELS = ("debug", "info", "warning", "error")
REMOTE = ("registry_mirror", "registry_ca")  # these are about registries of others


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=lambda name: name.replace("_", "-")):
    """Everything that can be set. Unknown names in the TOML file are refused by name."""

    data_root: str = "/var/lib/boxship"
    run_root: str = "/run/boxship"
    host: tuple[str, ...] = ()
    socket_mode: str = "0660"
    socket_group: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_crl: str = ""
    tls_name: tuple[str, ...] = ()
    tls_life: str = "2160h"
    pki: str = ""
    pki_passphrase_file: str = ""
    trust_policy: str = ""
    log_level: str = "info"
    address_pool: tuple[str, ...] = DEFAULT_POOLS
    bridge_subnet: str = ""
    dns: tuple[str, ...] = ()
    log_driver: str = "json-file"
    log_opt: dict[str, str] = {}
    runtime: str = "crun"
    add_runtime: dict[str, str] = {}
    mtu: int = 0
    ingress_ports: str = "80,443"
    static_pods: str = ""
    system_reserved: str = ""
    eviction: tuple[str, ...] = ()
    pod_users: str = ""
    eviction_transition: str = "5m"
    image_garbage: str = "85%,80%,10Gi,2m"
    images_from_nodes: str = "on"
    image_credentials: str = "NeverVerifyPreloadedImages"
    preloaded_image: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    registry_mirror: tuple[str, ...] = ()
    mirror: tuple[str, ...] = ()
    insecure_registry: tuple[str, ...] = ()
    registry_ca: tuple[str, ...] = ()
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: tuple[str, ...] = ()
    push_compression: str = "auto"
    registry: str = ""
    registry_name: tuple[str, ...] = ()
    registry_tls_cert: str = ""
    registry_tls_key: str = ""
    registry_tls_clients: bool = False
    registry_plain_http: bool = False
    registry_auth: str = ""
    registry_token: bool = False
    registry_policy: str = ""
    registry_metrics: bool = False
    host_ca: bool = False
    build_cache_limit: str = "20g"
    unused_image_limit: str = "0"


class AddressPoolOption(msgspec.Struct, frozen=True):
    """A range of addresses, cut into networks of `size` bits of prefix."""

    base: str
    size: int


def parse_pool(text: str) -> AddressPoolOption:
    """Of "BASE/PREFIX:SIZE", for example "172.30.0.0/15:24". Raises Invalid."""
    base, _, size = text.rpartition(":")
    try:
        network = ipaddress.IPv4Network(base)
        bits = int(size)
    except ValueError as error:
        raise Invalid(f"cannot use address pool {text}: {error}; write BASE/PREFIX:SIZE") from error
    if not network.prefixlen <= bits <= 29:
        raise Invalid(f"cannot use address pool {text}: a size lies between {network.prefixlen} and 29 bits")
    return AddressPoolOption(str(network), bits)


def parse_arguments(arguments: Sequence[str]) -> Options:
    """Options of the command line over those of the file. Raises Invalid; argparse itself ends on wrong flags."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    path = given.pop("config")
    from_file = read_file(Path(path)) if path else read_file(DEFAULT_CONFIG, optional=True)
    merged = {**from_file, **{name.replace("_", "-"): value for name, value in given.items() if value is not None}}
    try:
        options = msgspec.convert(merged, Options)
    except msgspec.ValidationError as error:
        raise Invalid(f"cannot use the options: {error}") from error
    return check(options)


def read_file(path: Path, *, optional: bool = False) -> dict[str, object]:
    """The TOML file's table. Raises Invalid naming the file for a syntax error or a missing file."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        if optional:
            return {}
        raise Invalid(f"cannot read {path}: there is no such file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise Invalid(f"cannot read {path}: {error}") from error


def parse_ports(text: str) -> tuple[int, int]:
    """The port for plain requests and that for TLS; 0: none. Raises Invalid."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) < 65536 for part in parts):
        raise Invalid(f"cannot use ingress-ports {text}: write PLAIN,TLS, as 80,443; 0 is none")
    return int(parts[0]), int(parts[1])


def check(options: Options) -> Options:
    """The options with their defaults filled in. Raises Invalid or Unsupported naming the option."""
    hosts = options.host or (f"unix://{options.run_root}/boxship.sock",)
    for host in hosts:
        _check_host(host, options)
    _check_certificates(options)
    if not re.fullmatch(r"0?[0-7]{3}", options.socket_mode):
        raise Invalid(f"cannot use socket-mode {options.socket_mode}: write three octal digits such as 0660")
    if options.log_level not in LOG_LEVELS:
        raise Invalid(f"cannot use log-level {options.log_level}: it is one of {', '.join(LOG_LEVELS)}")
    for limit in ("build_cache_limit", "unused_image_limit"):
        size_of(options, limit)
    for root in ("data_root", "run_root"):
        if not Path(getattr(options, root)).is_absolute():
            raise Invalid(f"cannot use {root.replace('_', '-')} {getattr(options, root)}: it must be an absolute path")
    for pool in options.address_pool:
        parse_pool(pool)
    if options.bridge_subnet:
        try:
            ipaddress.IPv4Network(options.bridge_subnet)
        except ValueError as error:
            raise Invalid(f"cannot use bridge-subnet {options.bridge_subnet}: {error}") from error
    parse_ports(options.ingress_ports)
    pool_of(options.pod_users)
    parse_node(options)
    for server in options.dns:
        try:
            ipaddress.ip_address(server)
        except ValueError as error:
            raise Invalid(f"cannot use dns {server}: {error}") from error
    _check_registry(options)
    parse_options(options.log_driver, options.log_opt)
    return msgspec.structs.replace(options, host=hosts)


def _check_host(host: str, options: Options) -> None:
    kind, separator, rest = host.partition("://")
    if kind == "unix" and rest.startswith("/"):
        return
    if kind == "tcp" and re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:/]*):\d{1,5}", rest):
        if not options.pki and not (options.tls_ca and options.tls_cert and options.tls_key):
            raise Unsupported(
                f"unsupported: plain TCP ({host}): give pki, or tls-ca, tls-cert and tls-key; `boxship pki` makes them"
            )
        return
    raise Invalid(f"cannot listen on {host}: write unix:///PATH or tcp://ADDRESS:PORT{'' if separator else ' in full'}")


def _check_registry(options: Options) -> None:
    """The options of the registry role, one with another."""
    if not options.registry:
        for name in Options.__struct_fields__:
            if name.startswith("registry_") and name not in REMOTE and getattr(options, name):
                raise Invalid(f"cannot use {name.replace('_', '-')}: there is no registry without registry HOST:PORT")
        return
    if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:/\[\]]*):\d{1,5}", options.registry):
        raise Invalid(f"cannot use registry {options.registry}: write HOST:PORT")
    if bool(options.registry_tls_cert) != bool(options.registry_tls_key):
        raise Invalid("cannot use registry-tls-cert and registry-tls-key: give both")
    if options.registry_plain_http and options.registry_tls_cert:
        raise Invalid("cannot use registry-plain-http: with registry-tls-cert the registry speaks TLS")
    if options.registry_tls_clients and not options.pki and not (options.registry_tls_cert and options.tls_ca):
        raise Invalid("cannot use registry-tls-clients: give pki, or registry-tls-cert and tls-ca")
    if options.registry_tls_clients and options.registry_plain_http:
        raise Invalid("cannot use registry-tls-clients with registry-plain-http")
    if options.registry_token and not options.registry_auth:
        raise Invalid("cannot use registry-token: tokens are for users, give registry-auth FILE")


def _check_certificates(options: Options) -> None:
    """Certificates come from files or from the authority; a list of revoked ones needs the files."""
    files = [name for name in ("tls_ca", "tls_cert", "tls_key", "tls_crl") if getattr(options, name)]
    if options.pki and files:
        raise Invalid(f"cannot use {files[0].replace('_', '-')} with pki: the authority has its own")
    if not options.pki and (options.tls_name or options.pki_passphrase_file):
        raise Invalid("cannot use tls-name and pki-passphrase-file without pki")
    if parse_duration(options.tls_life) < SECOND:
        raise Invalid(f"cannot use tls-life {options.tls_life}: write at least 1s")


def size_of(options: Options, name: str) -> int:
    """An option's size in bytes. Raises Invalid naming the option."""
    text = getattr(options, name)
    try:
        return parse_bytes(text)
    except Invalid as error:
        raise Invalid(f"cannot use {name.replace('_', '-')} {text}: {error}") from error


# What `--help` says of each option: the placeholder and the meaning.
SINGLE: dict[str, tuple[str, str]] = {
    "data-root": ("DIR", "what survives a reboot: images, containers, volumes, state"),
    "run-root": ("DIR", "what does not: sockets, bundles, network namespaces"),
    "socket-mode": ("MODE", "permissions of unix sockets, octal (default 0660)"),
    "socket-group": ("GROUP", "group of unix sockets, by name or number"),
    "tls-ca": ("FILE", "authority that signed the clients' certificates"),
    "tls-cert": ("FILE", "the daemon's certificate"),
    "tls-key": ("FILE", "the daemon's key"),
    "tls-crl": ("FILE", "list of revoked certificates; read again when it changes"),
    "tls-life": ("DURATION", "how long the certificates hold that the daemon gets itself from pki (2160h)"),
    "pki": ("DIR", "authority of `boxship pki`: the daemon gets its certificates there and renews them"),
    "pki-passphrase-file": ("FILE", "passphrase of the authority's keys (default: DIR/passphrase)"),
    "trust-policy": ("FILE", "which images may be pulled and run, by whose signature (TOML)"),
    "log-level": ("LEVEL", f"one of {', '.join(LOG_LEVELS)}"),
    "ingress-ports": ("PLAIN,TLS", "where a node of a cluster serves Ingress (default 80,443; 0 is none)"),
    "pod-users": ("FIRST:NUMBER|USER", "ids behind the users of pods with users of their own (default: high ones)"),
    "static-pods": ("DIR", "manifests of pods that a node of a cluster runs by itself (default: DATA/static-pods)"),
    "system-reserved": (
        "RESOURCE=AMOUNT,…",
        "what a node of a cluster keeps from pods: cpu, memory, ephemeral-storage",
    ),
    "eviction-transition": ("DURATION", "how long a node of a cluster shows a shortage that is over (default 5m)"),
    "image-garbage": ("HIGH%,LOW%[,FREE[,AGE]]", "when a node removes unused images (default 85%,80%,10Gi,2m)"),
    "images-from-nodes": ("on|off", "a node of a cluster gives and takes what was built on nodes (default on)"),
    "image-credentials": ("POLICY", "which images pods need pull secrets for (default NeverVerifyPreloadedImages)"),
    "bridge-subnet": ("CIDR", "subnet of the default bridge (default: the first free pool entry)"),
    "log-driver": ("NAME", "log driver of containers that name none: json-file, local or none"),
    "runtime": ("NAME", "OCI runtime of containers that name none (default crun)"),
    "http-proxy": ("URL", "proxy for plain HTTP to registries (default: HTTP_PROXY)"),
    "https-proxy": ("URL", "proxy for TLS to registries (default: HTTPS_PROXY)"),
    "push-compression": ("KIND", "of layers built here: auto (gzip, but none to loopback), none, gzip or zstd"),
    "build-cache-limit": ("SIZE", "bytes that the build cache may take (default 20g; 0: any)"),
    "unused-image-limit": ("SIZE", "bytes that unused images may take which can be pulled again (0: any)"),
    "registry": ("HOST:PORT", "serve the registry here, from the engine's own content store"),
    "registry-tls-cert": ("FILE", "the registry's certificate, with its intermediates; read again when it changes"),
    "registry-tls-key": ("FILE", "the registry's key"),
    "registry-auth": ("FILE", "users of the registry: an htpasswd file with bcrypt hashes"),
    "registry-policy": ("FILE", "rights, immutable tags, quotas, retention and caches of the registry (TOML)"),
}
REPEATED: dict[str, tuple[str, str]] = {
    "host": ("URL", "listen here: unix:///PATH or, with TLS, tcp://ADDRESS:PORT"),
    "address-pool": ("BASE/PREFIX:SIZE", "addresses for new networks"),
    "eviction": ("SIGNAL<AMOUNT[:SECONDS]", "when a node of a cluster sends pods away, as memory.available<300Mi:90"),
    "preloaded-image": ("NAME", "with image-credentials NeverVerifyAllowlistedImages: open to all where it is there"),
    "dns": ("ADDRESS", "name server for containers"),
    "label": ("KEY=VALUE", "label of this engine, shown by info"),
    "tls-name": ("HOST", "host name or address for the daemon's certificate from pki"),
    "registry-mirror": ("URL", "ask this registry before the default one"),
    "mirror": ("DOMAIN=URL", "ask this registry before that of DOMAIN"),
    "insecure-registry": ("DOMAIN", "plain HTTP and unknown certificates are accepted from this registry"),
    "registry-ca": ("FILE", "authority that registries' certificates may come from"),
    "no-proxy": ("HOST", "reach this host without the proxy (default: NO_PROXY)"),
    "registry-name": ("HOST[:PORT]", "further name under which the registry is known"),
}
SWITCHES: dict[str, str] = {
    "registry-plain-http": "serve the registry without TLS to other machines too",
    "registry-token": "ask the registry's clients for bearer tokens, which it gives out itself",
    "registry-tls-clients": "ask the registry's clients for certificates of the authority too",
    "registry-metrics": "Prometheus metrics of the registry at /metrics",
    "host-ca": "the machine's certificate authorities are seen by every RUN of builds",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="boxshipd", description="The Boxship daemon: containers behind the Docker Engine API."
    )
    parser.add_argument("--version", action="version", version=f"boxshipd {__version__}")
    parser.add_argument("--config", metavar="FILE", help=f"TOML file with these options (default {DEFAULT_CONFIG})")
    for name, (metavar, text) in SINGLE.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    parser.add_argument("--mtu", type=int, metavar="BYTES", help="MTU of bridges (default: the uplink's)")
    for name, (metavar, text) in REPEATED.items():
        parser.add_argument(f"--{name}", action="append", metavar=metavar, help=f"{text} (repeatable)")
    for name, text in SWITCHES.items():
        parser.add_argument(f"--{name}", action="store_const", const=True, help=text)
    parser.add_argument("--log-opt", action=_Pairs, metavar="KEY=VALUE", help="option of the log driver (repeatable)")
    parser.add_argument("--add-runtime", action=_Pairs, metavar="NAME=PATH", help="a further OCI runtime (repeatable)")
    return parser


class _Pairs(argparse.Action):
    """Gathers KEY=VALUE words into a dict."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        key, separator, value = str(values).partition("=")
        if not separator or not key:
            parser.error(f"{option_string} takes KEY=VALUE, not {values}")
        pairs = dict(getattr(namespace, self.dest) or {})
        pairs[key] = value
        setattr(namespace, self.dest, pairs)
