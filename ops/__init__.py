"""Jittor kernels of the network, fused and vectorised for the CPU. Each has a plain NumPy twin in geometry/ or in its test."""
