"""What the machine has and what a process takes of it: GPU, memory, processor time, what crashed
before."""
