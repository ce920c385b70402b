"""Objects that are secret at rest: which resources are sealed, by which keys, and how keys change.

    settings.py  the file that says so: the original's EncryptionConfiguration (aesgcm, aescbc, secretbox, identity)
    sealer.py    values in and out of the store
    rotation.py  what older keys have sealed is sealed again

A sealed value begins with "k8s:enc:", the kind of key and its name, as in the original. Nobody but `storage` sees one.
"""
