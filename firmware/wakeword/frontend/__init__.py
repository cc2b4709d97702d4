"""PCM to feature slices, bit for bit as TFLM's microfrontend.

Place in the pipeline: between the microphone's chunks and the models.  Imports its own room only.
"""

from .frontend import Frontend as Frontend
