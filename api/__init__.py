"""How it is read and written over HTTP: routes, tokens, limits, health, metrics."""
