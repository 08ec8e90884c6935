"""The language model in torch, the adapter that only speech passes through, and what it is
taught."""
