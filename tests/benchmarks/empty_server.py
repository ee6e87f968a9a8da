"""The API's server with two empty views beside it: the least that Flask, gunicorn and we can do.

`/empty` is a view of the API's own app, with all that every request passes; `/bare` is one of an app of nothing else.
"""

import argparse

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from api.auth import public
from api.wsgi import Server
from shared.settings import Settings


class WithEmptyViews(Server):
    """The API, and views that do nothing."""

    def load(self) -> Flask:
        app, bare = super().load(), Flask("bare")
        app.add_url_rule("/empty", view_func=public(_nothing), endpoint="empty")
        bare.add_url_rule("/", view_func=_nothing)
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/bare": bare.wsgi_app})
        return app


def _nothing() -> str:
    return ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    WithEmptyViews(Settings.load(), f"fd://{parser.parse_args().fd}").run()
