"""The Kubernetes API measured as its clients see it, on SQLite and on etcd, beside the stores alone in the same run."""
