"""Annotation files: one module a kind, which parses and writes it. Parsers give rows and problems, not data sets."""
