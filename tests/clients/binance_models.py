"""The fields that the models of Binance's own SDK declare: `{"model": ["field", ..]}` for each model asked for."""

from __future__ import annotations

import json
import sys

import binance_sdk_spot.rest_api.models as rest
import binance_sdk_spot.websocket_api.models as socket


def main() -> None:
    given = json.load(sys.stdin)
    found = {}
    for name in given["models"]:
        model = getattr(rest, name, None) or getattr(socket, name)
        names = {field.alias or name for name, field in model.model_fields.items()}
        found[name] = sorted(names - {"additional_properties"})
    print(json.dumps(found))


main()
