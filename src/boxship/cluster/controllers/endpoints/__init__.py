"""Which addresses stand behind each Service: EndpointSlices, Endpoints, and slices for Endpoints that people write.

    backends.py   what is known of a pod, and which pods and services belong together (indexes)
    slicing.py    the slices that should be there, with as few changes as possible (pure)
    written.py    what was written and is not seen yet
    slices.py     the EndpointSlice controller
    subsets.py    the subsets of an Endpoints object (pure)
    addresses.py  the Endpoints controller
    mirroring.py  slices for Endpoints that no selector fills
    starting.py   all of them with their caches

A change of readiness is written at once; what changes while a write is under way becomes one write. Never is an
endpoint taken out of one slice before it stands in another.
"""
