"""The short-lived program that touches files inside a container's root: it unpacks, packs, compares and measures.

It runs as `python3 -I -S` with the standard library alone, chrooted into the root that it works on, so that no path
trick, symlink race or device of an archive can lead outside, and the daemon's loop stays free. It must never import
anything that needs site-packages, and never keep a descriptor that leads out of the root once it works on names.
"""
