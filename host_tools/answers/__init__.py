"""Answers without Home Assistant: hears words, decides what they want, speaks, keeps timers."""
