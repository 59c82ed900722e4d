"""A detector behind an address, on LitServe (the extra `serve`)."""
