"""A board on a serial port: talks to it, builds and installs what lands on it, flashes it."""
