"""The media types of what clients send and are answered. Protobuf is taken in bodies and never sent."""

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
BODIES = (JSON, YAML, PROTOBUF)
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY_PATCH = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
CUSTOM_PATCHES = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)  # of kinds whose lists nobody knows how to merge
APPLY_CBOR = "application/apply-patch+cbor"  # refused, but first read as what it is
