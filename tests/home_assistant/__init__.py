"""Our gateway against a real Home Assistant: `make test-home-assistant`, by hand."""
