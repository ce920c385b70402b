"""A plan, carried out on a Host: side by side where the order allows it, with progress, and undone where it must be."""
