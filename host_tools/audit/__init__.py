"""A device's audit log, held against what this receiver was told and what it got."""
