"""The text of a kubeconfig for one user of one cluster. Pure; the file holds a private key, so its mode is 0600."""

import base64
import json


def kubeconfig_of(user: str, server: str, cluster: str, authority: bytes, certificate: bytes, key: bytes) -> bytes:
    """YAML with everything inside, so that the file can be carried elsewhere. Context and user are named after the
    cluster too, so that several clusters can stand in one file."""
    context = who = json.dumps(f"{user}@{cluster}")
    name = json.dumps(cluster)
    ca, shown, private = (base64.b64encode(data).decode() for data in (authority, certificate, key))
    text = f"""\
apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster:
    certificate-authority-data: {ca}
    server: {json.dumps(server)}
contexts:
- name: {context}
  context:
    cluster: {name}
    user: {who}
current-context: {context}
preferences: {{}}
users:
- name: {who}
  user:
    client-certificate-data: {shown}
    client-key-data: {private}
"""
    return text.encode()
