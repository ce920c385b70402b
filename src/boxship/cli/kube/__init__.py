"""The everyday things of a Kubernetes cluster without kubectl: get, describe, apply, delete, scale, rollout."""
