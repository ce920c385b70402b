"""Kubernetes objects as pure values: which kinds there are, their schemas, defaults, rules, patches and tables.

An object is a plain dict, as it came off the wire, so that unknown fields survive wherever a kind allows them. Nothing
here does I/O, knows the store, or reads a clock: what needs the time gets it.
"""

from typing import Any

Object = dict[str, Any]  # one Kubernetes object, decoded JSON
