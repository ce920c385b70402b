"""The Kubernetes side: objects and their rules, an API over the store, and the controllers that act on it.

Inside: objects < access < (api | reconcile) < (controllers | scheduler | node | proxy | dns). The last five see only
the Protocols of `access`, never `api` or `store`, and never each other.
"""
