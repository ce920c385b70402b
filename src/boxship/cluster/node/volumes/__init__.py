"""The volumes of this node's pods, as folders: made before a pod's containers, kept up to date, taken away after them.

    preparing.py   `NodeVolumes`: all volumes of a pod, and what keeps them true
    sources.py     one volume of a pod: which folder, or which files
    payloads.py    config maps, secrets, fields and tokens → files (pure)
    writing.py     files → a folder, all at once for whoever looks
    ownership.py   fsGroup
    claims.py      persistentVolumeClaim → the volume behind it
    holding.py     config maps and secrets that pods use, watched
    tokens.py      bound tokens of service accounts
    local.py       folders behind volumes that were provisioned on this node
    mounts.py      what is needed of the kernel: a Protocol

What lies here belongs to pods: ROOT/UID/volumes/NAME on the disk, ROOT/memory/UID/NAME in memory (one tmpfs for all
small files, so that secrets never reach a disk). A kill at any moment leaves what the next `prepare` makes whole or
the next `release` takes away. It must never remove anything through a mount or a link.
"""
