"""The kernel, one function per call. Nothing here knows a container, an image or a request."""
