"""Recordings that their owner gives away for research: heard, labelled, without an identity."""
