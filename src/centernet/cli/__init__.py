"""The commands: one file each, thin: it parses, calls the library, prints."""
