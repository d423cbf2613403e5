"""The market-data API: every venue's data by REST and WebSocket, described and protected."""
