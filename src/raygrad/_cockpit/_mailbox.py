"""What waits to be sent to one page: of each image, and of what is said again and again, the newest only."""

import asyncio
import json
import threading
from typing import Any

from raygrad._cockpit._frame import Frame
from raygrad._cockpit._told import Message

UNSEEN = 2
"""So many images are on their way at most; the next one waits, and is replaced by a newer one, until one was shown."""
NEWEST_WINS = frozenset({"state", "placement", "job", "looked", "outlines"})
"""Types of messages of which each says all that those before it said."""
MOST_TEXTS = 1000
"""With more than this a page does not read at all."""


class Mailbox:
    """Filled from any thread, emptied by the page's own coroutine.

    Attributes:
        full: set, and never again not, when a page left so much unread that nothing more is kept for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._texts: dict[Any, str] = {}
        self._frames: dict[str, Frame] = {}
        self._something = asyncio.Event()
        self._added = 0
        self._number = 0
        self._seen = 0
        self.full = False

    def put(self, message: Message) -> None:
        """Add a message, from any thread."""
        if self.full or self._loop.is_closed():
            return
        if isinstance(message, Frame):
            with self._lock:
                self._frames[message.key] = message  # in the place of the one before, so that no key waits for ever
        else:
            text = json.dumps(message, allow_nan=False)
            with self._lock:
                self._added += 1
                key = message["type"] if message["type"] in NEWEST_WINS else self._added
                self._texts.pop(key, None)  # a placement that is newer than a state comes after it
                self._texts[key] = text
                if len(self._texts) > MOST_TEXTS:
                    self.full = True
                    self._texts.clear()
        try:
            self._loop.call_soon_threadsafe(self._something.set)
        except RuntimeError:
            pass  # the loop ended meanwhile: so did the page

    def seen(self, number: int) -> None:
        """The page has shown this image, and all before it."""
        self._seen = max(self._seen, min(number, self._number))
        self._something.set()

    async def take(self) -> str | bytes | None:
        """The next message, text before images; None once the mailbox is full."""
        while not self.full:
            self._something.clear()
            with self._lock:
                if self._texts:
                    return self._texts.pop(next(iter(self._texts)))
                if self._frames and self._number - self._seen < UNSEEN:
                    self._number += 1
                    frame = self._frames.pop(next(iter(self._frames)))
                    break
            await self._something.wait()
        else:
            return None
        return frame.encoded(self._number)
