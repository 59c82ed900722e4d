"""The network: backbones, necks and heads, and the module that joins them. It knows torch, and never Lightning."""
