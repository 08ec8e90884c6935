"""Benchmarks of what is learnt: whole training runs, judged through the engines that serve."""
