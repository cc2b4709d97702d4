"""Audio on the host: reads files, adds what a microphone and a room do to them, makes speech."""
