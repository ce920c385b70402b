"""Registries of others: the client side of the OCI distribution API 1.1 and of Docker's schema 2.

Whatever a registry says is doubted: a manifest must have the digest that it was asked for, a layer its digest and
length, and nothing gets a name before all of it is here. Credentials go to the registry that they are for, to the
token server that it names over a connection at least as safe, and to nobody else: never along with a redirect.
"""
