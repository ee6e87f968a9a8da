"""Signing in to the dashboard without a browser."""

OURS = {"Origin": "http://localhost"}


def sign_in(browser, key: str, back: str = ""):
    return browser.post("/login", data={"key": key, "next": back}, headers=OURS)


def signed_in(app, key: str):
    opened = app.test_client()
    sign_in(opened, key)
    return opened


def token_of(page) -> str:
    return page.text.split('name="csrf" value="')[1].split('"')[0]
