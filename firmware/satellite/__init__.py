"""What to do with a detection: gate, light, mute, consent, the stream and its record.

Pure modules (gate, light, config, state, audit, endpoint, protocol, diagnostics) import no clock,
no network and no hardware; streamer and app wait, with everything injected.
"""
