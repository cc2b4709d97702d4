"""Offers each device to Home Assistant, as an ESPHome voice satellite."""
