"""Behind a proxy: requests as clients sent them, whichever way they came.

A WSGI layer below the application. What a proxy says in `X-Forwarded-For`, `-Proto` and `-Host` counts only if the
connection comes from a trusted one; the public URL, where one is set, then overrides scheme and host. The proxy may
pass the URL's path prefix on or strip it, so that probes within the machine need none either.

Werkzeug's `ProxyFix` counts hops and believes whoever connects; this layer goes by the addresses of the proxies, so
that nobody who reaches the port directly chooses the address under which they are limited and logged.

Invariant: the application sees no `X-Forwarded-…` header, only what follows from those that may be believed.
"""

from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

from flask import Flask

from api.schemas.links import mounted_at
from shared.addresses import Network, PublicUrl, is_authority, is_in, parse_peer
from shared.errors import Misconfigured
from shared.settings import Settings

Environ = MutableMapping[str, Any]

#: The headers that proxies set, and others that some frameworks believe.
_FORWARDED = "HTTP_X_FORWARDED_"


class Unproxied:
    """A WSGI application to which requests look as they did before any trusted proxy."""

    def __init__(self, application: WSGIApplication, public: PublicUrl | None, proxies: Sequence[Network]) -> None:
        """Wrap an application that is reached at `public`, through proxies in these networks."""
        self._application, self._public, self._proxies = application, public, proxies

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Handle a request."""
        self._believe(environ)
        if self._public:
            _mount(environ, self._public)
        mounted_at.set(environ.get("SCRIPT_NAME", ""))
        return self._application(environ, start_response)

    def _believe(self, environ: Environ) -> None:
        names = [name for name in environ if name.startswith(_FORWARDED)]
        said = {name.removeprefix(_FORWARDED): environ.pop(name) for name in names}
        peer = parse_peer(environ.get("REMOTE_ADDR", ""))  # empty on a Unix socket
        if not is_in(peer, self._proxies):
            return
        client = self._client(said.get("FOR", ""))
        if client:
            environ["REMOTE_ADDR"] = client
        scheme, host = (said.get(name, "").rpartition(",")[2].strip() for name in ("PROTO", "HOST"))
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        if is_authority(host):
            environ["HTTP_HOST"] = host

    def _client(self, hops: str) -> str:
        """Return the last address that no trusted proxy has: whatever stands before it, anyone may have written."""
        client = ""
        for hop in reversed(hops.split(",")):
            address = parse_peer(hop)
            if address is None:
                break
            client = str(address)
            if not is_in(address, self._proxies):
                break
        return client


def register(app: Flask, settings: Settings) -> None:
    """Serve `app` at the public URL; raise `Misconfigured` for a prefix that hides paths of the application."""
    public = settings.public
    if public and public.prefix:
        first = public.prefix.split("/")[1]
        if first in {rule.rule.split("/")[1] for rule in app.url_map.iter_rules()}:
            raise Misconfigured(
                f"ATELIER_PUBLIC_URL: the path cannot begin with /{first}, which is a path of Atelier itself."
            )
    app.wsgi_app = Unproxied(app.wsgi_app, public, settings.proxies)  # type: ignore[method-assign]


def _mount(environ: Environ, public: PublicUrl) -> None:
    """Take the prefix from the path if the proxy has left it there, and write every URL as the public one."""
    environ["wsgi.url_scheme"], environ["HTTP_HOST"] = public.scheme, public.authority
    environ["SCRIPT_NAME"] = public.prefix
    path = environ.get("PATH_INFO", "")
    if path == public.prefix or path.startswith(public.prefix + "/"):
        environ["PATH_INFO"] = path[len(public.prefix) :] or "/"
