"""The dashboard: server-rendered pages for browsers that sign in with an API key.

A page is a Flask view in a module of `views`, on `blueprint` (api/dashboard/pages.py) below `@page(access=…)`; its
template extends `base.html` and uses the macros of `_parts.html`. An action is a POST view that redirects to a page;
its form carries the hidden field `csrf`, and is shown only if `may_act` or `may_write` holds.
"""

from flask import Flask

from api.dashboard import filters, forms, pages, views
from api.dashboard.overview import OVERVIEW_EXTENSION, OverviewCache
from api.services import services_of

__all__ = ["filters", "forms", "register", "views"]


def register(app: Flask) -> None:
    """Add the dashboard to `app`."""
    services = services_of(app)
    app.extensions[OVERVIEW_EXTENSION] = OverviewCache(services.database, services.store, services.progress)
    app.jinja_env.finalize = pages.shown
    app.register_blueprint(pages.blueprint)
    app.after_request(pages.cache_assets)
