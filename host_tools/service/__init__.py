"""What makes a receiver one that runs for years: a systemd unit, health, back-up."""
