"""An application served on a thread of this process, taken away in order: no thread of it is killed at its work."""

from __future__ import annotations

import logging
import threading
from typing import Any

from werkzeug.serving import make_server


class Serving:
    """A Dash application on a port, which can be taken away and put back; 0 = any port that is free."""

    def __init__(self, app: Any, port: int = 0) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for every poll
        self.port = port
        self.start(app)

    def start(self, app: Any) -> None:
        """Listen; on the same port as before."""
        self._made = make_server("127.0.0.1", self.port, app.server, threaded=True)
        self.port = self._made.server_port
        self._thread = threading.Thread(
            target=self._made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the socket, so that the port refuses."""
        self._made.shutdown()
        self._made.server_close()
        self._thread.join()
