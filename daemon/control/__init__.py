"""How others reach a running daemon: the socket, the requests that it takes, and what answers
them."""
