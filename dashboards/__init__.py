"""The Dash application: shell, pages, one poll, pure charts."""
