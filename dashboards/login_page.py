"""The login page and its two small sisters, as text. They look like the product and work without JavaScript."""

from __future__ import annotations

from html import escape

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{onward}<title>Venuescope: {title}</title>
<link rel="icon" type="image/svg+xml" href="/assets/head/favicon.svg">
<script src="/assets/head/first.js"></script>
<link rel="stylesheet" href="/assets/vendor/inter.css">
<link rel="stylesheet" href="/assets/10_tokens.css">
<link rel="stylesheet" href="/assets/25_components.css">
<link rel="stylesheet" href="/assets/head/login.css">
</head>
<body>
<main>
<div class="brand"><img src="/assets/head/favicon.svg" alt=""><span>Venuescope</span></div>
<div class="card">
{body}
</div>
</main>
</body>
</html>
"""

_FORM = """<h1>Log in</h1>
<p>This program asks who you are before it shows anything.</p>
{trouble}<form method="post" action="/login">
<input type="hidden" name="next" value="{onward}">
<label for="credential">Token or API key</label>
<input type="password" id="credential" name="credential" autocomplete="current-password"
 maxlength="256" required autofocus>
<button type="submit" class="vs-btn is-primary">Log in</button>
</form>
<p class="small">The token is at the end of the link that the program printed when it started.
A key is made on its machine with <code>uv run app.py keys create --role read</code>;
it lets in those who shall only look.</p>"""


def form(onward: str, trouble: str = "") -> bytes:
    """The page that asks for the token or a key; `onward` is where it leads, `trouble` what went wrong before."""
    said = f'<p class="trouble" role="alert">{escape(trouble)}</p>\n' if trouble else ""
    return _page("log in", _FORM.format(trouble=said, onward=escape(onward)))


def welcome(onward: str) -> bytes:
    """The page after a login, which goes on by itself."""
    return _page(
        "logged in",
        f'<h1>You are logged in</h1>\n<p>Venuescope opens at once.</p>\n<a class="vs-btn is-primary" '
        f'href="{escape(onward)}">Go on</a>',
        f'<meta http-equiv="refresh" content="0;url={escape(onward)}">\n',
    )


def passage(onward: str) -> bytes:
    """A page that goes on at once, for who comes from another site: the next request brings the cookie along."""
    return _page(
        "one moment",
        f'<h1>One moment</h1>\n<a class="vs-btn is-primary" href="{escape(onward)}">Go on</a>',
        f'<meta http-equiv="refresh" content="0;url={escape(onward)}">\n',
    )


def farewell() -> bytes:
    """The page after a logout."""
    return _page(
        "logged out",
        '<h1>You are logged out</h1>\n<p>This browser is not known any more.</p>\n<a class="vs-btn is-primary" '
        'href="/login">Log in again</a>',
    )


def _page(title: str, body: str, onward: str = "") -> bytes:
    return _PAGE.format(title=title, body=body, onward=onward).encode()
