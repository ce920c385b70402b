"""OpenAPI documents of everything that is served, version 2 and 3, as clients read them: for `kubectl explain`, to know
which patches and parameters there are, and to check objects before they are sent.

`definitions` are the schemas, `operations` the requests; `v3` and `v2` write both down, `gnostic` turns version 2 into
the binary form that kubectl asks for, and `documents` keeps what has been made.
"""
