"""Paths inside a root, for programs that may not use the room `sys` themselves."""

from boxship.sys.path import open_in_root as open_in_root
from boxship.sys.path import resolve_in_root as resolve_in_root
