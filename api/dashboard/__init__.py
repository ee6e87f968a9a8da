"""The operator's dashboard: pages made on the server, for browsers that are signed in with an API key.

A page is a view on `blueprint` (api/dashboard/pages.py) below `@page(access=…)`, in a module of `views`; its template
extends `base.html` and is put together of `_parts.html`. An action is a `post` view that leads back to a page; its form
has the hidden field `csrf`, and is shown only where `may_act` or `may_write` holds.
"""

from __future__ import annotations

from flask import Flask

from api.dashboard import filters, forms, pages, views
from api.dashboard.overview import Overview

__all__ = ["filters", "forms", "register", "views"]


def register(app: Flask) -> None:
    """Add the dashboard to `app`."""
    app.extensions["atelier_overview"] = Overview(app.extensions["atelier"])
    app.register_blueprint(pages.blueprint)
    app.after_request(pages.keep_assets)
