"""The Docker Engine API: parses requests, calls the engine, shapes replies. `door.Door` is the handler to serve.

One file per noun; each ends in its ROUTES, and `router` joins them. It must never keep state of its own, and never
accept a field or parameter that it does not honour.
"""
