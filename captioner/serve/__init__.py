"""The web page on one's own machine, and its small JSON API; needs the extra `web`."""
