"""--chmod: octal numbers, or words as chmod(1) has them ("u=rwX,go=rX"). Pure."""

from __future__ import annotations

from boxship.errors import Invalid

_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007}
_RIGHTS = {"r": 0o444, "w": 0o222, "x": 0o111}
_UMASK = 0o022  # what "+w" without a who leaves alone


class ModeChange:
    """A change of modes. Invalid for text that is none."""

    def __init__(self, text: str) -> None:
        self._octal = -1
        self._clauses: list[tuple[int, int, list[tuple[str, str]]]] = []
        if text.isascii() and text.isdigit():
            try:
                self._octal = int(text, 8)
            except ValueError:
                self._octal = 0o10000
            if self._octal > 0o7777:
                raise _wrong(text)
            return
        for clause in text.split(","):
            self._clauses.append(_clause(clause, text))

    def apply(self, mode: int, *, is_folder: bool) -> int:
        """The permission bits after the change."""
        mode &= 0o7777
        if self._octal >= 0:
            return self._octal
        for who, allowed, actions in self._clauses:
            for operator, rights in actions:
                bits = _bits(rights, mode, who, is_folder=is_folder) & allowed
                if operator == "+":
                    mode |= bits
                elif operator == "-":
                    mode &= ~bits
                else:
                    kept = mode & 0o7000 if is_folder and not set(rights) & set("st") else 0
                    mode = mode & ~who | bits | kept
        return mode


def _clause(clause: str, text: str) -> tuple[int, int, list[tuple[str, str]]]:
    at = 0
    who = 0
    while at < len(clause) and clause[at] in "ugoa":
        who |= 0o7777 if clause[at] == "a" else _WHO[clause[at]]
        at += 1
    allowed = 0o7777
    if not who:
        who, allowed = 0o7777, 0o7777 & ~_UMASK
    actions = []
    while at < len(clause):
        operator = clause[at]
        at += 1
        end = at
        while end < len(clause) and clause[end] not in "+-=":
            end += 1
        rights = clause[at:end]
        if operator not in "+-=" or (set(rights) - set("rwxXst") and rights not in ("u", "g", "o")):
            raise _wrong(text)
        actions.append((operator, rights))
        at = end
    if not actions:
        raise _wrong(text)
    return who, allowed, actions


def _bits(rights: str, mode: int, who: int, *, is_folder: bool) -> int:
    """The bits that rights stand for, for those that `who` names."""
    if rights in ("u", "g", "o") and rights:
        three = mode >> {"u": 6, "g": 3, "o": 0}[rights] & 7
        return (three << 6 | three << 3 | three) & who & 0o777
    found = 0
    for letter in rights:
        if letter == "X":
            found |= 0o111 if is_folder or mode & 0o111 else 0
        elif letter == "s":
            found |= 0o6000
        elif letter == "t":
            found |= 0o1000
        else:
            found |= _RIGHTS[letter]
    return found & (who | (0o1000 if who & 0o7 else 0))


def _wrong(text: str) -> Invalid:
    return Invalid(
        f"invalid chmod parameter: {text!r}: it is neither an octal number up to 07777 nor words such as u=rwX"
    )
