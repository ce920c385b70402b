"""How a machine becomes a node and stays known as one: it finds the cluster by a token, has a certificate signed, and
has it renewed in time. It must never trust a server that neither the pin nor the token's signature vouches for.
"""
