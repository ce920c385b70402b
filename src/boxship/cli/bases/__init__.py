"""Base images from the distribution's own packages: what goes into them, and how it becomes a tar stream.

    tree.py      folders, files and links as values → a tar stream that is the same for the same values
    busybox.py   one static program and its names
    debian.py    the suites of this machine's own package sources → one mmdebstrap call

The decisions are pure; only `run` in the verb's file starts programs and speaks to the daemon.
"""
