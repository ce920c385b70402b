"""Bytes of a log file to records, and back from its end to the place where the last lines begin. Pure.

A line is `TIME STREAM TAG text`, as conmon writes it: TIME is 35 characters long, STREAM is "stdout" or "stderr", TAG
is "F", or "P" where the text goes on in the next line of the same stream. What has another form is left out.
"""

import calendar
import re
from collections.abc import Callable, Collection, Iterable, Iterator

from boxship.spec.container import SECOND
from boxship.spec.log import LogRecord

HEAD = 45  # bytes before the text
LINE_LIMIT = 1 << 20  # bytes; what is longer isn't conmon's
_ZONE = slice(29, 45)  # "+00:00 stdout F "
_ZONED_TAG = re.compile(rb"([+-])(\d\d):(\d\d) (stdout|stderr) ([FP]) ")
_SECOND = re.compile(rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)")
_KNOWN_LIMIT = 256
_STREAMS = {b"stdout": 1, b"stderr": 2}

_Tag = tuple[int, bool, int]  # stream, partial, nanoseconds east of UTC


class Decoder:
    """Takes blocks in the order of the files and gives the records that are wanted.

    With `merge`, neighbouring lines of one stream come as one record that has the time of the first: the same bytes in
    far fewer pieces. Where bytes can't be understood, a line says so. `done` is set once a record is younger than
    `until`.
    """

    def __init__(
        self, *, since: int = 0, until: int = 0, streams: Collection[int] = (1, 2), merge: bool = False
    ) -> None:
        self.done = False
        self._since = since
        self._until = until
        self._streams = frozenset(streams)
        self._all_wanted = not since and not until and self._streams >= {1, 2}
        self._merge = merge
        self._rest = b""
        self._unknown = 0  # bytes that weren't understood since the last record
        self._tags: dict[bytes, _Tag | None] = {}
        self._second = b""
        self._second_time = 0

    def feed(self, block: bytes) -> list[LogRecord]:
        """The records that the block completes."""
        cut = block.rfind(b"\n")
        if cut < 0:
            self._rest += block
            if len(self._rest) > LINE_LIMIT:
                self._unknown += len(self._rest)
                self._rest = b""
            return []
        whole, self._rest = self._rest + block[:cut], block[cut + 1 :]
        return self._records(whole.split(b"\n"))

    def end_file(self) -> list[LogRecord]:
        """The file ends here: a last line without its end is a piece of a line."""
        rest, self._rest = self._rest, b""
        if rest and self._parse(rest[:HEAD]) is None:
            self._unknown += len(rest)
            rest = b""
        found = self._records([rest]) if rest else []
        if found:
            last = found[-1]
            found[-1] = LogRecord(last.stream, last.time, last.data.removesuffix(b"\n"), True)
        elif self._unknown and 2 in self._streams and not self.done:
            found = [self._note(self._second_time)]
        self._unknown = 0
        return found

    def forget(self) -> None:
        """The file was cut short: what was begun never ends."""
        self._rest = b""

    def _records(self, lines: list[bytes]) -> list[LogRecord]:
        if self._merge:
            return self._joined(lines) if self._all_wanted else _merged(self._separate(lines))
        return self._separate(lines)

    def _separate(self, lines: list[bytes]) -> list[LogRecord]:
        found: list[LogRecord] = []
        add = found.append
        known: bytes | None = None
        stream, time, partial, wanted = 0, 0, False, False
        for line in lines:
            head = line[:HEAD]
            if head != known:  # lines that were written at once have the same head
                parsed = self._parse(head)
                if parsed is None:
                    self._unknown += len(line) + 1
                    continue
                stream, time, partial = parsed
                known = head
                if self._until and time > self._until:
                    self.done = True
                    break
                wanted = time >= self._since and stream in self._streams
            if self._unknown:
                if time >= self._since and 2 in self._streams:
                    add(self._note(time))
                self._unknown = 0
            if wanted:
                add(
                    LogRecord(stream, time, line[HEAD:], True)
                    if partial
                    else LogRecord(stream, time, line[HEAD:] + b"\n")
                )
        return found

    def _joined(self, lines: list[bytes]) -> list[LogRecord]:
        """As `_separate`, merged, where every line is wanted: only the first time of each record is read."""
        found: list[LogRecord] = []
        texts: list[bytes] = []
        stream, time, partial, known = 0, 0, False, b""
        for line in lines:
            zone = line[_ZONE]
            if zone != known or self._unknown or not texts:
                parsed = self._parse(line[:HEAD])
                if parsed is None:
                    self._unknown += len(line) + 1
                    known = b""
                    continue
                if texts and (self._unknown or parsed[0] != stream):
                    found.append(LogRecord(stream, time, b"".join(texts), partial))
                    texts = []
                if self._unknown:
                    found.append(self._note(parsed[1]))
                    self._unknown = 0
                if not texts:
                    stream, time = parsed[0], parsed[1]
                partial, known = parsed[2], zone
            texts.append(line[HEAD:])
            if not partial:
                texts.append(b"\n")
        if texts:
            found.append(LogRecord(stream, time, b"".join(texts), partial))
        return found

    def _note(self, time: int) -> LogRecord:
        """Stands for bytes that weren't understood: nothing is left out in silence."""
        return LogRecord(2, time, b"[boxship: %d bytes of the log cannot be read]\n" % self._unknown)

    def _parse(self, head: bytes) -> tuple[int, int, bool] | None:
        """Stream, time and whether it is a piece; None where the head is no head."""
        zone = head[_ZONE]
        tag = self._tags[zone] if zone in self._tags else self._learn(zone)
        fraction = head[20:29]
        if tag is None or not fraction.isdigit() or head[19:20] != b".":
            return None
        if head[:19] != self._second:
            parsed = parse_second(head[:19])
            if parsed is None:
                return None
            self._second, self._second_time = head[:19], parsed
        return tag[0], self._second_time + int(fraction) - tag[2], tag[1]

    def _learn(self, zone: bytes) -> _Tag | None:
        match = _ZONED_TAG.fullmatch(zone)
        if match is None:
            return None
        east = (int(match[2]) * 3600 + int(match[3]) * 60) * SECOND
        tag = (_STREAMS[match[4]], match[5] == b"P", -east if match[1] == b"-" else east)
        if len(self._tags) < _KNOWN_LIMIT:
            self._tags[zone] = tag
        return tag


def time_of(line: bytes) -> int | None:
    """The time at which a line was written; None for what is no line."""
    parsed = Decoder()._parse(line[:HEAD])
    return parsed[1] if parsed else None


def parse_second(text: bytes) -> int | None:
    """Nanoseconds since the epoch of "2026-11-22T05:00:00", read as UTC; None for anything else."""
    match = _SECOND.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    return calendar.timegm((year, month, day, hour, minute, second)) * SECOND


def _merged(records: list[LogRecord]) -> list[LogRecord]:
    found: list[LogRecord] = []
    texts: list[bytes] = []
    for place, record in enumerate(records):
        texts.append(record.data)
        if place + 1 == len(records) or records[place + 1].stream != record.stream:
            first = records[place + 1 - len(texts)]
            found.append(LogRecord(record.stream, first.time, b"".join(texts), record.partial))
            texts = []
    return found


def is_piece(line: bytes) -> bool:
    """Whether the line's text goes on in another line."""
    return line[43:45] == b"P "


def tail_place(
    read_at: Callable[[int, int], bytes], size: int, count: int, *, open_end: bool = True, block_size: int = 1 << 16
) -> tuple[int, int]:
    """Where the last `count` lines of output begin in a file of `size` bytes, and how many of them it lacks.

    With `open_end`, what stands at the very end and nothing has ended yet is a line. Reads from the end, no more than
    needed.
    """
    starts = _starts_backwards(read_at, size, block_size)
    place = next(starts, (0, b""))[0]
    if place < size and open_end and count > 0:
        count, open_end = count - 1, False
    for start, head in starts:
        if open_end or not is_piece(head):
            if count == 0:
                return place, 0
            count -= 1
        open_end = False
        place = start
    return 0, count


def _starts_backwards(read_at: Callable[[int, int], bytes], size: int, block_size: int) -> Iterator[tuple[int, bytes]]:
    """Where each line begins, with its head, the last first; at the very first what no newline has ended yet."""
    place, following = size, b""
    while place > 0:
        step = min(block_size, place)
        place -= step
        block = read_at(place, step)
        window = block + following
        end = len(block)
        while (newline := block.rfind(b"\n", 0, end)) >= 0:
            yield place + newline + 1, window[newline + 1 : newline + 1 + HEAD]
            end = newline
        following = window[:HEAD]
    if size:
        yield 0, following


def since_place(read_at: Callable[[int, int], bytes], size: int, since: int, block_size: int = 1 << 16) -> int:
    """The beginning of a line not behind the first one that is as young as `since`, and not far before it.

    Lines are taken to be in the order of their times, as they are unless somebody set the clock back.
    """
    low, high = 0, size
    while high - low > block_size:
        middle = (low + high) // 2
        block = read_at(middle, block_size)
        begin = block.find(b"\n") + 1
        time = time_of(block[begin : begin + HEAD]) if begin else None
        if time is None or time >= since:
            high = middle
        else:
            low = middle + begin
    return low


def count_lines(blocks: Iterable[bytes]) -> int:
    """How many lines of output end in a stream."""
    total, rest = 0, b""
    for block in blocks:
        parts = (rest + block).split(b"\n")
        total += sum(not is_piece(part) for part in parts[:-1])
        rest = parts[-1][:HEAD]
    return total


def place_behind(blocks: Iterable[bytes], count: int) -> int:
    """How many bytes of a stream its first `count` lines of output take."""
    place, rest = 0, b""
    if count <= 0:
        return 0
    for block in blocks:
        parts = block.split(b"\n")
        for number, part in enumerate(parts[:-1]):
            place += len(part) + 1
            if not is_piece((rest + part)[:HEAD] if number == 0 else part):
                count -= 1
                if count == 0:
                    return place
        place += len(parts[-1])
        rest = (rest + parts[-1] if len(parts) == 1 else parts[-1])[:HEAD]
    return place
