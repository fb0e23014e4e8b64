"""The server of a cockpit: the page's files, and one websocket a page."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from raygrad._cockpit import commands as commands  # each makes its own known
from raygrad._cockpit._client import Client
from raygrad._cockpit._guard import Guard
from raygrad._cockpit._mailbox import Mailbox
from raygrad._cockpit._opening import Opening
from raygrad._cockpit._requests import MOST, Lanes, Request, Requests
from raygrad._cockpit._told import Told

PAGE = Path(__file__).parent / "page"
PROTOCOL = "raygrad"
"""The websocket's subprotocol; the token is offered as another one, since browsers let no page set a header."""
NOT_OURS, TOO_SLOW = 1008, 1013
"""Codes with which a websocket is closed: it does not talk as our page does; it does not read."""


class Guarded:
    """Refuses what the guard refuses, and says with every answer what the page may do."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self.app, self.guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        own = [(name.lower().encode(), value.encode()) for name, value in self.guard.headers.items()]
        names = {name for name, _ in own}

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message["headers"] = [*(pair for pair in message.get("headers", []) if pair[0] not in names), *own]
            await send(message)

        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        websocket = scope["type"] == "websocket"
        reason = self.guard.refuses(headers, websocket)
        if reason is None and websocket and not self.guard.knows(_tokens(scope)):
            reason = "token"
        if reason is None:
            await self.app(scope, receive, send_with_headers)
            return
        refusal = PlainTextResponse(f"Refused: {reason}.", status_code=403)
        if websocket:
            await WebSocket(scope, receive, send_with_headers).send_denial_response(refusal)
        else:
            await refusal(scope, receive, send_with_headers)


def make_app(session: Told | Opening, guard: Guard) -> ASGIApp:
    """The ASGI application."""
    lanes, numbers = Lanes(), itertools.count(1)

    async def websocket(socket: WebSocket) -> None:
        await socket.accept(subprotocol=PROTOCOL)
        if (there := await _opened(session, socket)) is not None:
            await _serve(there, Client(next(numbers)), lanes, socket)

    routes = [WebSocketRoute("/socket", websocket), Mount("/", StaticFiles(directory=PAGE, html=True))]
    return Guarded(Starlette(routes=routes), guard)


async def _opened(session: Told | Opening, socket: WebSocket) -> Told | None:
    """The session, once it is read; the page is told how far that is. None if the page went, or there will be none."""
    if not isinstance(session, Opening):
        return session
    said = None
    while session.session is None and session.problem is None:
        if said != session.text:
            said = session.text
            try:
                await socket.send_text(json.dumps({"type": "opening", "text": said}))
            except (WebSocketDisconnect, RuntimeError):
                return None
        await asyncio.sleep(0.05)
    return session.session


def _tokens(scope: Scope) -> str:
    offered = [name for name in scope.get("subprotocols", []) if name.startswith("token.")]
    return offered[0].removeprefix("token.") if len(offered) == 1 and PROTOCOL in scope["subprotocols"] else ""


async def _serve(session: Told, client: Client, lanes: Lanes, socket: WebSocket) -> None:
    """Everything between the session and one page, until that goes."""
    loop = asyncio.get_running_loop()
    mailbox, room = Mailbox(loop), asyncio.Event()
    requests = Requests(session, client, lanes, mailbox.put, lambda: _set(loop, room))
    mailbox.put({"type": "welcome", "client": client.number})
    stop = session.listen(mailbox.put)

    async def send() -> None:
        while (message := await mailbox.take()) is not None:
            await (socket.send_text(message) if isinstance(message, str) else socket.send_bytes(message))
        await socket.close(TOO_SLOW)

    async def receive() -> None:
        while (request := _read(await socket.receive(), mailbox)) is not None:
            if isinstance(request, Request):
                requests.add(request)
            while len(requests) >= MOST:  # what is not read the page cannot send
                room.clear()
                if len(requests) >= MOST:
                    await room.wait()
        await socket.close(NOT_OURS)

    tasks = [asyncio.create_task(send()), asyncio.create_task(receive())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop()
        requests.end()
        for task in tasks:
            task.cancel()
        for problem in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(problem, Exception) and not isinstance(problem, WebSocketDisconnect | RuntimeError):
                raise problem  # a fault of ours


def _set(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:
        pass  # the loop ended


def _read(message: Message, mailbox: Mailbox) -> Request | bool | None:
    """What a page says: a request, True for what is dealt with already, None for what our page would not say."""
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    try:
        said: Any = json.loads(message["text"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("do"), str):
        return None
    numbers = [said.get(name) for name in ("number", "id", "sequence")]
    if not all(number is None or (type(number) is int and abs(number) <= 2**53) for number in numbers):
        return None
    if said["do"] != "seen":
        return Request(said["do"], said.get("arguments", {}), said.get("id"), said.get("sequence"))
    if numbers[0] is None:
        return None
    mailbox.seen(numbers[0])
    return True
