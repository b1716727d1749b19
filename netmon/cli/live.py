"""A picture of something that changes, drawn again in its place until somebody ends it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple, Never

from rich.console import Group
from rich.text import Text

from netmon.cli.common import LineConsole, live_table
from netmon.errors import UnavailableError
from netmon.show import printable

REFRESH_MS: Final = 1_000
"""As long as a person waits for new figures."""
_COALESCE_S: Final = 0.2
"""Between two pictures: a disaster changes hundreds of things in a second, and an eye sees none of them so fast."""
RECONNECT_S: Final = 1.0


class Picture(NamedTuple):
    """What is drawn."""

    head: Text
    body: list[Text]


def watch(console: LineConsole, draw: Callable[[], Picture], wait: Callable[[int], None]) -> Never:
    """Draws it again whenever something changes, and each second, for ever.

    While Redis cannot be read, the last picture stands, and above it why.

    Args:
        console: Where to.
        draw: Makes the picture. May raise UnavailableError.
        wait: Until something changes, but no longer than so many milliseconds. May raise UnavailableError.
    """
    body: list[Text] = []
    with live_table(Text("asking Redis ..."), console) as live:
        while True:
            try:
                head, body = draw()
                live.update(Group(head, *body), refresh=True)
                wait(REFRESH_MS)
                time.sleep(_COALESCE_S)
            except UnavailableError as error:
                told = Text(f"Redis cannot be read: {printable(error.detail)}", style="bold yellow")
                live.update(Group(told, *body), refresh=True)
                time.sleep(RECONNECT_S)
