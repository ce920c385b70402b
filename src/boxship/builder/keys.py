"""The key of a step: everything that its result depends on, and nothing else. Pure.

A key is made of named parts, so that a miss can be explained. Every field of an operation counts unless it is named
here; times of files never do, because sources count by their content.
"""

import hashlib
from collections.abc import Mapping

import msgspec

from boxship.builder.operations import CopyOperation, CopySource, FolderOperation, LayerTree, Operation, RunOperation
from boxship.spec import digest as digests

VERSION = "1"
PART_LIMIT = 200  # characters of a part that is kept as it is; a longer one is kept by its digest and its beginning

# What may change without another result: secrets stay secret, limits and their place in the cgroups are no input.
UNCOUNTED = {"secrets", "resources", "cgroup_parent", "mounts", "sources"}

Parts = dict[str, str]


def key_of(parts: Parts) -> str:
    """The key: hexadecimal digits of SHA-256."""
    return hashlib.sha256(msgspec.json.encode([VERSION, sorted(parts.items())])).hexdigest()


def tree_identity(tree: LayerTree) -> str:
    return tree.chain_id or "empty"


def operation_parts(operation: Operation, base: LayerTree, inputs: tuple[str, ...]) -> Parts:
    """The parts of a bound operation. `inputs` are the digests of its sources or of its mounts' trees, in order."""
    parts = {"kind": type(operation).__name__}
    if not isinstance(operation, CopyOperation) or not operation.link or operation.names_owner:
        parts["base"] = tree_identity(base)
    for name in operation.__struct_fields__:
        value = getattr(operation, name)
        if name not in UNCOUNTED and (value or value == 0) and value is not False:
            parts[name] = _text(msgspec.to_builtins(value))
    if isinstance(operation, RunOperation):
        parts |= _run_parts(operation, inputs)
    elif isinstance(operation, CopyOperation):
        for number, (source, digest) in enumerate(zip(operation.sources, inputs, strict=True)):
            parts[f"source {number}"] = digest + (" unpack" if source.unpack else "")
    else:
        assert isinstance(operation, FolderOperation)
    return parts


def _run_parts(operation: RunOperation, inputs: tuple[str, ...]) -> Parts:
    parts = {}
    if operation.secrets:
        parts["secrets"] = _text(sorted(operation.secrets))
    for number, (mount, digest) in enumerate(zip(operation.mounts, inputs, strict=True)):
        plain = msgspec.structs.replace(mount, tree=None, content=None)
        parts[f"mount {number}"] = _text([msgspec.to_builtins(plain), digest])
    return parts


def circumstances(operation: Operation, proxies: Mapping[str, str]) -> str:
    """What does not count in the key, but must not differ between builds that share one execution."""
    if not isinstance(operation, RunOperation):
        return ""
    contents = [mount.content for mount in operation.mounts]
    secrets = sorted((operation.secrets | dict(proxies)).items())
    plain = [operation.resources, operation.cgroup_parent, secrets, contents]
    return hashlib.blake2b(msgspec.json.encode(plain), digest_size=16).hexdigest()


def inline_digest(source: CopySource) -> str:
    """The digest of a here-document and its name."""
    assert source.inline is not None
    return digests.of_bytes(source.inline.name.encode() + b"\0" + source.inline.content)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text) <= PART_LIMIT:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    return f"{text[:PART_LIMIT]}… {digest}"
