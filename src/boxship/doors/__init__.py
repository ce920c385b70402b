"""The doors: each parses one public API, calls its own domain and shapes the reply; doors never import each other."""
