"""The Kubernetes API over a store: authenticate, authorise, default, admit, validate, compare and swap, watch.

Knows no HTTP: `doors/kube` turns requests into `request.Request` and answers into bytes on a connection.
"""
