"""The language model on llama.cpp: its tokens and embedding rows, a conversation with it, how
likely sentences are."""
