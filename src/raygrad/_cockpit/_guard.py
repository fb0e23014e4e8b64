"""Who may talk to the server: pages of this machine that it handed out itself, and that know its token."""

import hmac
from collections.abc import Sequence

POLICY = (
    "default-src 'self'; connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; object-src 'none'; "
    "img-src 'self' blob: data:; frame-ancestors {ancestors}"
)
"""Content-Security-Policy: nothing from elsewhere, nothing inline. Images that the page made itself are blobs."""


class Guard:
    """What a request has to show.

    Args:
        port: of the server.
        token: that the page's address carries in its fragment, which browsers do not send with requests.
    """

    def __init__(self, port: int, token: str) -> None:
        hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self.hosts = frozenset(hosts)
        self.origins = frozenset(f"http://{host}" for host in hosts)
        self.token = token
        self._sockets = " ".join(f"ws://{host}" for host in hosts)
        self._ancestors: tuple[str, ...] = ()
        self.headers = {
            "Content-Security-Policy": self._policy(),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    def let_frame(self, origin: str) -> None:
        """Pages of this origin, a notebook's, may hold this one in a frame from now on."""
        if origin not in self._ancestors:
            self._ancestors = (*self._ancestors, origin)
            self.headers = {**self.headers, "Content-Security-Policy": self._policy()}

    def _policy(self) -> str:
        return POLICY.format(ancestors=" ".join(self._ancestors) or "'none'", sockets=self._sockets)

    def refuses(self, headers: Sequence[tuple[str, str]], websocket: bool = False) -> str | None:
        """Why a request is refused, None if it is not.

        A page that another one's script opens has that one's Origin, and a name that was bent to this machine is in
        Host; a websocket of a browser always says its Origin. Other sites may lead to the page, as a link or a frame,
        but load nothing of it.

        Args:
            headers: names in small letters, and values.
            websocket: whether one is asked for.
        """
        said = {name: [value for key, value in headers if key == name] for name in _LOOKED_AT}
        if len(said["host"]) != 1 or said["host"][0].lower() not in self.hosts:
            return "Host"
        if len(said["origin"]) > 1 or (websocket and not said["origin"]):
            return "Origin"
        if any(origin not in self.origins for origin in said["origin"]):
            return "Origin"
        foreign = any(site not in ("none", "same-origin") for site in said["sec-fetch-site"])
        if foreign and not websocket and said["sec-fetch-mode"] != ["navigate"]:
            return "Origin"
        return None

    def knows(self, token: str) -> bool:
        """Whether this is the token, in time that does not tell how much of it is right."""
        return hmac.compare_digest(token.encode(), self.token.encode())


_LOOKED_AT = ("host", "origin", "sec-fetch-site", "sec-fetch-mode")
