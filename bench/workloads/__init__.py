"""Pods, deployments and rolling updates, measured on a whole cluster of one node in a network namespace of its own."""
