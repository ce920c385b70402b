"""Schemas: the types of all fields, what they list by which key, and how a patch merges them."""
