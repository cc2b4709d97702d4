"""The sub-commands of `earnest`: arguments in, text out.  No other room imports them."""
