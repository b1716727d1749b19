"""What an operator may ask of the agent on the gateway itself, when neither centre nor broker is there: a Unix socket in its directory.

Only root and the agent's own user may ask (SO_PEERCRED); the socket's mode says the same. One question a connection: a line of JSON, and a line
in return.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from netmon.errors import ConfigError, UnavailableError
from netmon.failover.agent.report import AgentReport
from netmon.log import log

SOCKET_FILE: Final = "agent.sock"
QUESTION_BYTES_MAX: Final = 4_096
ANSWER_BYTES_MAX: Final = 1 << 20
QUESTION_S: Final = 5.0
"""Whoever connects and asks nothing is not waited for."""
ASKERS_MAX: Final = 8
_UCRED: Final = struct.Struct("3i")


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked."""

    kind: Literal["status", "force", "clear"]
    class_id: str = ""
    line_id: str = ""
    by: str = ""
    why: str = ""
    for_s: float = 0.0
    """After which a forced switch ends."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What comes back."""

    refused: str = ""
    """Why it was not done; empty: it was."""
    report: AgentReport | None = None
    """How the gateway is afterwards."""


class Desk:
    """Where operators ask."""

    def __init__(self, folder: Path, answer: Callable[[Question], Answer]) -> None:
        """`answer` is called in the loop, and does not wait."""
        self._path = folder / SOCKET_FILE
        self._answer = answer
        self._askers = 0

    async def run(self) -> None:
        """Answers until cancelled. Without a socket, the agent works all the same, and says so."""
        try:
            server = await self._open()
        except OSError as error:
            cure = "data_dir has to be a folder of its own, with a short path, on a disk that is not full"
            log.error("agent.socket_refused", reason=error.strerror or str(error), file=str(self._path), cure=cure)
            return
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _open(self) -> asyncio.Server:
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        # The folder is nobody else's either; between bind and chmod the mask keeps others out.
        mask = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._serve, self._path, limit=QUESTION_BYTES_MAX)
        finally:
            os.umask(mask)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._askers >= ASKERS_MAX:
            writer.close()
            return
        self._askers += 1
        try:
            async with asyncio.timeout(QUESTION_S):
                writer.write(msgspec.json.encode(await self._answered(reader, writer)) + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # whoever asked is gone, or asks nothing that can be answered
        finally:
            self._askers -= 1
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
        if not _may_ask(writer.get_extra_info("socket")):
            return Answer(refused="only root and the agent's own user may ask")
        line = await reader.readline()
        try:
            question = msgspec.json.decode(line, type=Question)
        except msgspec.MsgspecError as error:
            return Answer(refused=f"not a question: {error}")
        return self._answer(question)


def _may_ask(sock: socket.socket) -> bool:
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return uid in {0, os.geteuid()}


def ask(folder: Path, question: Question) -> Answer:
    """Asks the agent of this folder; waits for it.

    Raises:
        ConfigError: It is not for whoever asks.
        UnavailableError: There is no agent, or it does not answer.
    """
    path = folder / SOCKET_FILE
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(QUESTION_S)
            sock.connect(str(path))
            sock.sendall(msgspec.json.encode(question) + b"\n")
            with sock.makefile("rb") as stream:
                return msgspec.json.decode(stream.readline(ANSWER_BYTES_MAX), type=Answer)
    except PermissionError:
        raise ConfigError([f"{path}: only root and the user of the agent may ask it"]) from None
    except FileNotFoundError:
        raise UnavailableError("refused", f"{path}: no agent runs here") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise UnavailableError("timeout", f"{path}: the agent does not answer: {error}") from None
