"""COPY and ADD as operations: where the files come from, where they go. Pure."""

import msgspec

from boxship.builder import history
from boxship.builder.addresses import git_source, http_source, is_git, is_web, without_password
from boxship.builder.dockerfile.syntax import Add, Copy, Heredoc
from boxship.builder.graph import CopyAction
from boxship.builder.operations import CopyOperation, CopySource, InlineFile, Selection
from boxship.builder.state import StageState
from boxship.errors import Invalid
from boxship.spec import digest as digests


class _Input(msgspec.Struct, frozen=True):
    source: CopySource
    step: str
    shown: str


def copy(state: StageState, instruction: Copy) -> None:
    """Add the step of a COPY or ADD. Raises Invalid."""
    written = state.words((instruction.destination, instruction.owner, instruction.mode))
    destination, owner, mode = written
    excluded = tuple(path.lstrip("/") for path in state.words(instruction.exclude))
    if not destination:
        raise Invalid("the destination is empty")
    if isinstance(instruction, Add) and instruction.checksum and len(instruction.sources + instruction.heredocs) != 1:
        raise Invalid("checksum can't be specified for multiple sources")
    inputs = [_input(state, instruction, source, excluded) for source in instruction.sources]
    inputs += [_inline(state, heredoc) for heredoc in instruction.heredocs]
    if len(inputs) > 1 and not _is_folder(destination):
        keyword = "ADD" if isinstance(instruction, Add) else "COPY"
        raise Invalid(
            f"When using {keyword} with more than one source file, the destination must be a directory and end with a /"
        )
    operation = CopyOperation(
        sources=tuple(item.source for item in inputs),
        destination=state.absolute(destination),
        owner=owner,
        mode=mode,
        link=instruction.link,
        parents=instruction.parents,
        epoch=state.request.epoch,
    )
    state.emit(
        instruction,
        history.copy(
            "ADD" if isinstance(instruction, Add) else "COPY",
            _flags(instruction, owner, mode),
            [item.shown for item in inputs],
            destination,
        ),
        CopyAction(operation, tuple(item.step for item in inputs)),
    )


def _flags(instruction: Copy, owner: str, mode: str) -> list[str]:
    """Those that the history tells: BuildKit leaves --exclude, --link and the rest out."""
    flags = []
    if instruction.parents:
        flags.append("--parents")
    if owner:
        flags.append(f"--chown={owner}")
    if mode:
        flags.append(f"--chmod={mode}")
    return flags


def _is_folder(destination: str) -> bool:
    return destination.endswith("/") or destination.rpartition("/")[2] in (".", "..")


def _input(state: StageState, instruction: Copy, text: str, excluded: tuple[str, ...]) -> _Input:
    word = state.word(text)
    if isinstance(instruction, Add):
        checksum = state.word(instruction.checksum)
        if is_git(word):
            return _repository(state, instruction, word, checksum, excluded)
        if is_web(word):
            return _file(state, instruction, word, checksum, excluded)
        if checksum:
            raise Invalid("checksum requires HTTP(S) or Git sources")
        unpack = instruction.unpack is not False
    else:
        if is_git(word) or is_web(word):
            raise Invalid(f"source can't be a {'git ref' if is_git(word) else 'URL'} for COPY")
        unpack = False
    selection = Selection(paths=(word.lstrip("/"),), exclude=excluded)
    step = state.inputs.of(state, instruction.origin)
    return _Input(CopySource(None, selection, unpack=unpack), step, word)


def _inline(state: StageState, heredoc: Heredoc) -> _Input:
    content = state.heredoc(heredoc.content) if heredoc.expand else heredoc.content
    name = heredoc.name
    return _Input(CopySource(None, inline=InlineFile(name, content.encode(errors="surrogateescape"))), "", f"<<{name}")


def _repository(state: StageState, instruction: Add, word: str, checksum: str, excluded: tuple[str, ...]) -> _Input:
    source = git_source(word, keep_git=instruction.keep_git_dir, checksum=checksum)
    return _Input(CopySource(None, Selection(("",), excluded)), state.inputs.source(source), without_password(word))


def _file(state: StageState, instruction: Add, word: str, checksum: str, excluded: tuple[str, ...]) -> _Input:
    if checksum:
        digests.validate(checksum)
    source = http_source(word, checksum)
    if not source.name and not _is_folder(state.word(instruction.destination)):
        source = msgspec.structs.replace(source, name="download")
    if not source.name:
        raise Invalid(f"cannot determine filename for source {without_password(word)}")
    selection = Selection((source.name,), excluded, wildcards=False)
    return _Input(
        CopySource(None, selection, unpack=bool(instruction.unpack)),
        state.inputs.source(source),
        without_password(word),
    )
