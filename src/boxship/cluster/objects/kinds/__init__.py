"""The rules of every built-in kind, one file per group; the schemas themselves are in `schema`."""
