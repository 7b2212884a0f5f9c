"""Files in, files out: the only place that opens a path."""
