"""The `earnest` command: host tools around the firmware, a module for each sub-command."""
