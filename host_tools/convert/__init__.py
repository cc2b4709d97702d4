"""From a .tflite wake-word model to the file the firmware loads, with the proof that nothing changed."""
