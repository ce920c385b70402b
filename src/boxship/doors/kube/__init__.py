"""The Kubernetes API over HTTPS: paths, media types, discovery, watches and errors as clients expect them."""
