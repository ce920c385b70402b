"""Probes and hooks: what asks a container how it is.

grpc_health.py  the health protocol of gRPC as bytes: pure
asking.py       one question by exec, HTTP, TCP or gRPC
judging.py      answers become verdicts by thresholds: pure
keeping.py      the probes of one pod's containers, each at its time
"""
