"""The owner's receiver: lets devices in, checks their consent, keeps only what it allows."""
