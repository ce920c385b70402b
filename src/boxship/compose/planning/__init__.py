"""(project, observed, what is asked for) → a plan: actions with their order, as values. Pure: no I/O, no clock."""
