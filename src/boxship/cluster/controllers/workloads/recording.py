"""The recorder's place is reconcile; these names are kept for the controllers that stand here."""

from boxship.cluster.reconcile.recording import Events, Recorder

__all__ = ["Events", "Recorder"]
