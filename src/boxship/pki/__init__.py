"""Certificates, signatures and what they are worth.

    names.py          who a certificate is for, checked
    keys.py           private and public keys of three kinds
    certificates.py   what stands in a certificate: pure functions of keys, names and a time
    places.py         where the parts of an authority lie, and how they are read
    authority.py      the authority on disk: make one, open one, issue, renew, revoke
    revocation.py     the list of revoked certificates
    verify.py         is every file what it should be? pure where the files are read
    context.py        ssl contexts for servers and clients that ask each other for certificates
    live.py           certificates that change under a running server, and their renewal
    messages.py       signed messages (CMS), envelopes.py encrypted ones, der.py what both are written in
    chain.py          whom to trust; holder.py whose key it is
    payloads.py       what is signed of an image, cosign.py the signature, sealing.py the key's file
    policy.py         which images may be used, by whose signature
    cluster.py        the authority of a Kubernetes cluster on disk; cluster_certificates.py what stands in it,
                      cluster_clients.py whose a client's certificate is, cluster_tokens.py tokens of service accounts,
                      cluster_requests.py certificate signing requests, cluster_kubeconfig.py the clients' file
    files.py          private files: mode 0600, written whole or not at all

This room never opens a socket, never prints, and never writes a private key whose mode is not 0600. `payloads`, `names`
and `files` import no cryptography, so that who needs none need not load it.
"""
