"""Certificates by a cluster's authority for hosts that people reach through it (Ingress): a pair of PEM texts."""

import datetime
from collections.abc import Sequence

from boxship.errors import Invalid
from boxship.pki.certificates import Issuer, dump_certificates, load_certificates
from boxship.pki.cluster_certificates import ENDING, Wanted, holds, make_certificate
from boxship.pki.keys import dump_key, load_key, new_key


def make_pair(name: str, hosts: Sequence[str], issuer: Issuer, now: datetime.datetime) -> tuple[bytes, bytes]:
    """Certificate and key."""
    key = new_key()
    made = make_certificate(Wanted("", "", name, places=tuple(hosts)), key.public_key(), issuer, now)
    return dump_certificates(made), dump_key(key, None)


def seconds_left(
    pair: tuple[bytes, bytes], name: str, hosts: Sequence[str], issuer: Issuer, now: datetime.datetime
) -> float:
    """How long the pair serves for all these hosts, until it is to be made anew; 0.0: it does not."""
    try:
        certificate = load_certificates(pair[0], name)[0]
        key = load_key(pair[1], None, name)
    except (Invalid, IndexError):
        return 0.0
    wanted = Wanted("", "", name, places=tuple(hosts))
    if not holds(certificate, wanted, key.public_key(), issuer, now):
        return 0.0
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return max((certificate.not_valid_after_utc - life / ENDING - now).total_seconds(), 1.0)
