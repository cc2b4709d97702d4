"""The wake words of a board: which models it listens with, and how sure they have to be.

Place: below installer, which copies models and configuration together, and provisioner, which
changes the configuration.  The list and its order are those of config.json; a board without one
listens for the default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware.satellite.config import Config, ConfigError
from firmware.wakeword import model_format
from host_tools.board.sensitivity import Change, Own, Setting
from host_tools.board.serial_link import SerialLink
from host_tools.errors import HostToolError
from host_tools.models.catalog import available_models, find_model

OTHERS = "other wake words: earnest install --model NAME (once for each)"


@dataclass(frozen=True)
class Model:
    """A model as it is or will be on a board."""

    name: str
    data: bytes
    own: Own

    @property
    def file_name(self) -> str:
        return f"models/{self.name}.ewm"


def gather(names: Sequence[str], link: SerialLink) -> list[Model]:
    """Return the models of these names or files; raises HostToolError.

    A name that this computer does not know is taken from the board, which may have a model of its
    owner's.
    """
    found = []
    for name in dict.fromkeys(names):
        is_ours = name in available_models() or Path(name).suffix in (".ewm", ".tflite")
        data = None if is_ours else link.get(f"models/{name}.ewm")
        if data is None:
            ours = find_model(name)
            own = Own(ours.cutoff, ours.window)
            found.append(Model(ours.name, ours.path.read_bytes(), own))
        else:
            found.append(Model(name, data, _own_values(name, data)))
    words = [model.name for model in found]
    for word in words:
        if words.count(word) > 1:
            raise HostToolError(f"two models have the name {word}", "rename one of the files")
    return found


def _own_values(name: str, data: bytes) -> Own:
    try:
        header, _ = model_format.check(data)
    except model_format.ModelFormatError as error:
        raise HostToolError(
            f"models/{name}.ewm on the board: {error}", "install it again: --model FILE"
        ) from error
    return Own(header.probability_cutoff, header.sliding_window_size)


def with_words(
    config: Config, own_values: Mapping[str, Own], changes: Sequence[Change] = ()
) -> Config:
    """Return a configuration that listens for these words.

    Args:
        config: its settings of words that stay are kept.
        own_values: each word with its model's own values, in the order of precedence.
        changes: what the owner wants of single words.

    Raises:
        HostToolError: there are too many words, or one that a change names is not among them.
    """
    words = list(own_values)
    sensitivity: dict[str, Setting] = {
        word: setting for word, setting in config.sensitivity.items() if word in words
    }
    for change in changes:
        word = change.word or (words[0] if len(words) == 1 else None)
        if word is None:
            raise HostToolError(
                f"which of the wake words {', '.join(words)}?", f"as in {words[0]}=VALUE"
            )
        if word not in words:
            raise HostToolError(
                f"{word} is not among the wake words", f"they are: {', '.join(words)}"
            )
        sensitivity[word] = change.applied_to(sensitivity.get(word, {}), own_values[word])
    kept = {word: setting for word, setting in sensitivity.items() if setting}
    try:
        return config.changed(models=words, sensitivity=kept)
    except ConfigError as error:
        raise HostToolError(str(error), "see docs/configuration.md") from error
