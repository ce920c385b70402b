"""The store on etcd v3, the real one: several control planes may stand on it side by side."""
