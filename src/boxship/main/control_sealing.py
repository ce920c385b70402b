"""What seals secrets at rest in a control plane: a key of the cluster's own, unless a file says otherwise."""

import logging
from pathlib import Path

from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.sealing.rotation import reseal
from boxship.cluster.api.sealing.sealer import ConfiguredSealer
from boxship.cluster.api.sealing.settings import default_sealer, no_sealer, own_key, sealer_of
from boxship.errors import BoxshipError, Invalid
from boxship.main.control_options import ControlOptions
from boxship.store import Store
from boxship.wire import yaml_text

log = logging.getLogger("boxship-control")

KEY_FILE = "encryption.key"


def sealer_by(options: ControlOptions, data: Path) -> ConfiguredSealer:
    """Raises Invalid, Unsupported for a wrong configuration. The cluster's own key opens in any case, so that a
    configuration can be introduced later."""
    path = data / KEY_FILE
    if options.encryption == "none":
        return no_sealer(path)
    if options.encryption == "auto":
        return default_sealer(path)
    try:
        document, _ = yaml_text.read(Path(options.encryption).read_bytes())
    except OSError as error:
        raise Invalid(f"cannot read the encryption configuration {options.encryption}: {error.strerror}") from error
    return sealer_of(document, [own_key(path)] if path.exists() else [])


async def seal_again(store: Store, sealer: ConfiguredSealer, catalog: Catalog) -> None:
    """Once after each start: what an older configuration has left is sealed as it is wanted now."""
    try:
        count = await reseal(store, sealer, catalog.all())
    except BoxshipError as error:
        log.warning("cannot seal all again: %s", error)
        return
    if count:
        log.info("sealed %d objects again, as the encryption configuration wants it now", count)
