"""How often a model misses its wake word, and how often it fires without it."""
