"""The built web page, in `static/`. Its source is the folder `web/` of the repository."""
