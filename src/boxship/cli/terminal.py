"""The user's terminal: its size, raw mode, and the keys that leave a container running."""

from __future__ import annotations

import os
from types import TracebackType

from boxship.errors import Invalid

DETACH_KEYS = "ctrl-p,ctrl-q"


def is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def terminal_size(descriptor: int = 1) -> tuple[int, int]:
    """(rows, columns); zeros when the descriptor is no terminal."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return 0, 0
    return size.lines, size.columns


class RawTerminal:
    """While it is entered, the terminal hands over every key at once and shows nothing of its own accord."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._saved: list[int | list[bytes | int]] | None = None

    def __enter__(self) -> None:
        import termios

        if not is_terminal(self._descriptor):
            return
        self._saved = termios.tcgetattr(self._descriptor)
        raw = termios.tcgetattr(self._descriptor)
        raw[0] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        raw[1] &= ~termios.OPOST
        raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._descriptor, termios.TCSANOW, raw)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import termios

        if self._saved is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)
            self._saved = None


def parse_keys(text: str) -> bytes:
    """The bytes of "ctrl-p,ctrl-q": single characters, or ctrl- with a letter or one of @ [ \\ ] ^ _."""
    keys = bytearray()
    for key in text.split(","):
        lowered = key.lower()
        letter = lowered.removeprefix("ctrl-")
        if len(key) == 1 and key.isascii():
            keys.append(ord(key))
        elif lowered.startswith("ctrl-") and len(letter) == 1 and (letter in "@[\\]^_" or "a" <= letter <= "z"):
            keys.append(ord(letter.upper()) & 0x1F)
        else:
            raise Invalid(f"invalid detach keys {text!r}: Unknown character: '{key}'")
    return bytes(keys)


class DetachFilter:
    """Finds the detach keys in what is typed. Keys that may be the start of them are held back until it is clear."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What goes to the container, and whether the keys are complete (what follows them is dropped)."""
        if not self._keys or (not self._matched and self._keys[0] not in typed):
            return typed, False
        passed = bytearray()
        for key in typed:
            if key == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._matched = 0
                    return bytes(passed), True
                continue
            passed += self._keys[: self._matched]
            self._matched = 0
            if key == self._keys[0]:
                self._matched = 1
                if len(self._keys) == 1:
                    self._matched = 0
                    return bytes(passed), True
                continue
            passed.append(key)
        return bytes(passed), False
