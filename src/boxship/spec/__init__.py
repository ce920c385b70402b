"""Pure values that several rooms speak about. No room's behaviour lives here, and nothing here does I/O."""
