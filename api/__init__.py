"""The workspace over HTTP: a thin layer that asks `geo` and answers."""
