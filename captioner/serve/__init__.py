"""A web page for this machine and its small JSON API; needs the extra `web`."""
