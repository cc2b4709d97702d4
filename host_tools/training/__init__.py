"""An own wake word from synthetic speech: voices, scenes, training, export and report."""
