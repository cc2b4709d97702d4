"""What to do with a detection: gate, light, mute, consent, the stream and its record.

The pure modules (gate, end_of_speech, light, config, mute_state, consent, audit_log,
audit_record, protocol, counters, level) know no clock, no network and no hardware; streamer and
app wait, with everything injected.  `ports` says what a device hands in.
"""
