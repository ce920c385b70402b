"""The OCI distribution API over one registry: parses requests, calls the registry, shapes replies.

`door.Door` is the handler to serve. It must never keep state of its own but counts, and never decide what is allowed.
"""
