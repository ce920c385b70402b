"""Who asks: a client certificate, a service account's token, a bootstrap token, or nobody.

    tokens.py         tokens of service accounts: made, checked against what still exists, and their public keys
    bootstrap.py      tokens with which new machines join
    authenticator.py  a request's headers and certificate to a User
    impersonation.py  as whom a user acts

A thing that was shown and is wrong is refused; it never makes the request anonymous.
"""
