"""What other tools do with the same workloads: array programs in NumPy, and scipy.optimize."""
