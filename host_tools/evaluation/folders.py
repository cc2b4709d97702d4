"""Find the audio files in folders, by the endings of their names."""

from __future__ import annotations

from pathlib import Path

from host_tools.errors import HostToolError

AUDIO_ENDINGS = {
    ".wav",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aif",
    ".aiff",
    ".au",
    ".w64",
    ".caf",
}


def audio_files(folders: tuple[Path, ...]) -> list[Path]:
    """Return all audio files in and below the folders, sorted; a file stands for itself.

    Raises HostToolError for a folder that is missing or has no audio.
    """
    found: set[Path] = set()
    for folder in folders:
        if folder.is_file():
            here = {folder}
        elif folder.is_dir():
            here = {
                path
                for path in folder.rglob("*")
                if path.suffix.lower() in AUDIO_ENDINGS and path.is_file()
            }
        else:
            raise HostToolError(f"{folder}: no such folder", "check the name")
        if not here:
            raise HostToolError(
                f"{folder}: no audio in it", f"files ending in {' '.join(sorted(AUDIO_ENDINGS))}"
            )
        found.update(path.resolve() for path in here)
    return sorted(found)
