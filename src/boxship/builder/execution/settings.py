"""What the builder's steps are told once, at the daemon's start."""

import msgspec


class Settings(msgspec.Struct, frozen=True):
    """`host_ca` mounts the machine's CA bundle into every RUN; `ca_bundle` is where that lies, "" to look at the usual
    places. `runtime` is the OCI runtime's name, "" for the daemon's default."""

    host_ca: bool = False
    ca_bundle: str = ""
    runtime: str = ""
