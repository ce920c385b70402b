"""The controllers without which the API itself would not be whole, one file each; `starting` makes them all.

Each decides in pure functions, and writes as its own service account of kube-system. They see the Protocols of `access`
alone, so they run beside the API or far from it.
"""
