"""Layers and writable roots on overlayfs: `overlay.Snapshots`, and the Docker archive API: `archive`.

This file stays empty of code: the child program imports its own modules through it, without site-packages.
"""
