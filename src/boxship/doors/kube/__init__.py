"""The Kubernetes API on the wire: requests are parsed and answered here, and decided in `cluster`.

Paths, query parameters, media types, Status objects, discovery, health, metrics, watches as streams. It must never
know an object's meaning: bodies go on as they came, answers come as JSON that is ready.
"""
