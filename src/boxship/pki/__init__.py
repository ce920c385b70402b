"""The machine's own certificate authority: keys, certificates, and the TLS contexts made of them.

    names.py          who a certificate is for, checked
    certificates.py   what stands in a certificate: pure functions of keys, names and a time
    authority.py      the authority on disk: make one, open one, issue, list
    verify.py         is every file what it should be? pure where the files are read
    context.py        ssl contexts for servers and clients that ask each other for certificates
    files.py          private files: mode 0600, written whole or not at all

Renewing, revoking and signing of messages get their place here with a later issue. This room never opens a socket,
never prints, and never writes a private key whose mode is not 0600.
"""
