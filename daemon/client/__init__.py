"""What reaches a running daemon from another process: requests, enrolment, and a daemon of one's
own."""
