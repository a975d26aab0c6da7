"""Geometry in NumPy float64: similarity transforms, sampling, neighbours, kinematics, skinning, normals. Imports nothing of ours.

These functions are also the plain twins against which the Jittor operators in ops/ are tested.
"""
