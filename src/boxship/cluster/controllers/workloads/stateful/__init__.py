"""StatefulSet: pods with ordinals, names and claims that stay, never two of one ordinal."""
