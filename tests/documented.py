"""Documentation as programs: blocks of Markdown files, what is to be done with each, and the doing.

Blocks are found by markdown-it, the CommonMark parser that rich brings along. `ch4grid` commands run in this process,
since importing the package anew for each would cost more than all that they do; anything else runs in a shell.
"""

import contextlib
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from markdown_it import MarkdownIt

from ch4grid import cli

MARKER = re.compile(r"<!-- (not run|slow|file|patch)(?:: (.+?))? -->\s*")
# What only a shell understands; a block without any is a list of plain commands.
SHELL = re.compile(r"[|&;<>$`*?]|^\w+=")
COMMENT = re.compile(r"(^|\s+)#.*$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        path: The document.
        line: Line of its fence, from one.
        language: `sh`, `python`, ...
        text: Its content.
        marker: `not run`, `slow`, `file`, `patch`, or empty.
        told: What the marker says after its colon.
    """

    path: Path
    line: int
    language: str
    text: str
    marker: str
    told: str

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a document in their order; a marker holds for the block that follows it.

    Raises:
        ValueError: A block is left out without a reason, or a marker stands before something else.
    """
    found: list[Block] = []
    marker: re.Match[str] | None = None
    for token in MarkdownIt("commonmark").parse(path.read_text(encoding="utf-8")):
        if token.type == "html_block" and (match := MARKER.fullmatch(token.content)):
            marker = match
        elif token.type == "fence" and token.map is not None:
            kind, told = (marker[1], marker[2] or "") if marker else ("", "")
            if kind in ("not run", "slow", "file") and not told:
                raise ValueError(f"{path}:{token.map[0] + 1}: '{kind}' without a reason or path")
            found.append(
                Block(path, token.map[0] + 1, token.info.strip(), token.content, kind, told)
            )
            marker = None
        elif marker and token.type not in ("html_block",):
            raise ValueError(f"{path}: the marker '{marker[0].strip()}' stands before no block")
    return found


def spans(path: Path) -> list[str]:
    """Inline code of a document."""
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    return [
        " ".join(child.content.split())
        for token in tokens
        for child in token.children or ()
        if child.type == "code_inline"
    ]


def commands(text: str) -> list[str]:
    """The `ch4grid` commands of a shell block, continued lines joined, comments and other programs left out."""
    joined = text.replace("\\\n", " ")
    lines = [COMMENT.sub("", line).strip() for line in joined.splitlines()]
    return [line for line in lines if re.match(r"(python -m )?ch4grid\b", line)]


def arguments(command: str) -> list[str]:
    """What follows the program's name, up to a pipe or redirection."""
    words = shlex.split(command.removeprefix("python -m ").replace("$PWD", os.getcwd()))
    return words[1:]


class NotUnderstoodError(ValueError):
    """A command that the command line would refuse."""


def parse(words: list[str]) -> None:
    """Parse a command as the command line would, without running it.

    Raises:
        NotUnderstoodError: There is no such command or option, or an argument is missing or of the wrong kind.
    """
    try:
        _parse(words)
    except typer.Exit:  # --help and --version
        pass
    except (
        Exception
    ) as error:  # typer brings its own copy of click along, or uses the one that is installed
        if not hasattr(error, "format_message"):
            raise
        raise NotUnderstoodError(error.format_message()) from None


def _parse(words: list[str]) -> None:
    command: Any = typer.main.get_command(cli.app)
    context = None
    while isinstance(command, typer.core.TyperGroup):
        known = {option for p in command.params for option in p.opts}
        while words and words[0] in known:
            words = words[1:]
        if not words and context is None:
            return
        context = command.make_context(None, [], parent=context, resilient_parsing=True)
        context.resilient_parsing = False
        name, command, words = command.resolve_command(context, words)
    command.make_context(name, list(words), parent=context)


def unknown_words(words: list[str]) -> list[str]:
    """Commands and options of a mention within a sentence that do not exist; placeholders may stand for the rest."""
    command: Any = typer.main.get_command(cli.app)
    while words and isinstance(command, typer.core.TyperGroup) and not words[0].startswith("-"):
        names = words[0].split("|")
        if unknown := [n for n in names if n not in command.commands]:
            return unknown
        command, words = command.commands[names[0]], words[1:]
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"-h", "--help"}
    asked = [w.strip("[]").split("=")[0] for w in words]
    return [w for w in asked if w.startswith("--") and w not in known]


class Session:
    """A reader who types the blocks of documents into a shell and a Python prompt that stand in one folder.

    Args:
        folder: Where they stand; it looks like a checkout.
        environment: Variables of the shell.
        relay: Answers the `ch4grid` of the shell; without one it is whatever stands on its PATH.
    """

    def __init__(
        self, folder: Path, environment: dict[str, str], relay: "Relay | None" = None
    ) -> None:
        self.folder = folder
        self.environment = environment
        self.relay = relay
        self.names: dict[str, Any] = {}

    def begin(self) -> None:
        """A new document: a new Python prompt."""
        self.names = {"__name__": "__documentation__"}

    def do(self, block: Block) -> None:
        """Run, write or apply a block.

        Raises:
            AssertionError: It ended badly; the message names the block and what was said.
        """
        if block.marker == "file":
            path = self.folder / block.told
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.marker == "patch":
            patch(self.folder, block.text)
        elif block.language == "python":
            self._python(block)
        elif block.language == "sh":
            self._shell(block)

    def _python(self, block: Block) -> None:
        code = compile("\n" * block.line + block.text, str(block.path), "exec")
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, self.names)

    def _shell(self, block: Block) -> None:
        lines = [
            COMMENT.sub("", x).strip() for x in block.text.replace("\\\n", " ").splitlines() if x
        ]
        plain = [x for x in lines if x]
        if all(x.startswith("ch4grid ") and not SHELL.search(x.replace("$PWD", "")) for x in plain):
            for command in plain:
                self._command(block, command)
            return
        words = ["bash", "-euo", "pipefail", "-c", block.text]
        code, _, err = shell(words, self.folder, self.environment, self.relay)
        assert code == 0, f"{block}: exit code {code}\n{err[-3000:]}"

    def _command(self, block: Block, command: str) -> None:
        code, out, err = called(arguments(command))
        assert code == 0, f"{block}: `{command}` ended with {code}\n{out[-2000:]}\n{err[-2000:]}"


def called(words: list[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command inside this process."""
    out, err = io.StringIO(), io.StringIO()
    before, code = sys.argv, 0
    sys.argv = ["ch4grid", *words]
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            cli.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = before
    return code, out.getvalue(), err.getvalue()


# A program that hands its arguments to a socket and says what comes back.
RELAYED = """#!{python} -SE
import json, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
line.sendall(json.dumps(sys.argv[1:]).encode())
line.shutdown(socket.SHUT_WR)
code, out, err = json.loads(b"".join(iter(lambda: line.recv(65536), b"")))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


class Relay:
    """A `ch4grid` for shells whose commands run inside this process, where everything is imported already.

    Args:
        script: The program to write.
        answer: Exit code, standard output and standard error for arguments; the real command line when left out.
    """

    def __init__(
        self,
        script: Path,
        answer: Callable[[list[str]], tuple[int, str, str]] | None = None,
    ) -> None:
        self.answer = answer or called
        # the address of a socket holds a hundred characters, folders of tests can have more
        self._folder = tempfile.TemporaryDirectory(prefix="relay-")
        address = Path(self._folder.name) / "socket"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen()
        self._listener.settimeout(0.02)
        script.write_text(RELAYED.format(python=sys.executable, address=str(address)))
        script.chmod(0o755)

    def serve(self, process: "subprocess.Popen[bytes]") -> None:
        """Answer until a process has ended."""
        while process.poll() is None:
            try:
                line, _ = self._listener.accept()
            except TimeoutError:
                continue
            with line:
                line.setblocking(True)
                asked = b"".join(iter(lambda: line.recv(65536), b""))  # noqa: B023
                line.sendall(json.dumps(self.answer(json.loads(asked))).encode())

    def close(self) -> None:
        """No more answers."""
        self._listener.close()
        self._folder.cleanup()


def shell(
    words: list[str], folder: Path, environment: dict[str, str], relay: Relay | None
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a program."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen(
            words, cwd=folder, env=environment, stdout=out, stderr=err, stdin=subprocess.DEVNULL
        ) as process:
            if relay is not None:
                relay.serve(process)
        said = []
        for stream in (out, err):
            stream.seek(0)
            said.append(stream.read().decode())
    return process.returncode, said[0], said[1]


def patch(folder: Path, text: str) -> None:
    """Apply a diff whose hunks are found by their lines, not by their numbers.

    Raises:
        AssertionError: A hunk does not fit, or fits at several places.
    """
    name, *hunks = re.split(r"^@@.*\n", text, flags=re.MULTILINE)
    path = folder / re.search(r"^\+\+\+ b/(.+)$", name, re.MULTILINE)[1]  # type: ignore[index]
    content = path.read_text()
    for hunk in hunks:
        lines = hunk.splitlines(keepends=True)
        old = "".join(x[1:] for x in lines if x[0] in " -")
        new = "".join(x[1:] for x in lines if x[0] in " +")
        assert content.count(old) == 1, f"{path}: a hunk of the patch does not fit:\n{old}"
        content = content.replace(old, new)
    path.write_text(content)


def documents(root: Path) -> Iterator[Path]:
    """The README and everything in docs/, in the order in which a reader meets them."""
    yield root / "README.md"
    order = [root / "docs" / "README.md", root / "docs" / "tutorial.md"]
    listed = re.findall(r"\((howto/[\w-]+\.md)\)", order[0].read_text())
    order += [root / "docs" / name for name in listed]
    yield from order
    yield from sorted(p for p in (root / "docs").rglob("*.md") if p not in order)
