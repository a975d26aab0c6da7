"""Run by test_runtime.py under mpirun: every rank adds its number, and one gradient step ends alike on all ranks."""

from launch.runtime import start_jittor

jt = start_jittor()
from jittor import nn  # noqa: E402

total = jt.array([jt.rank + 1.0]).mpi_all_reduce("add").item()
jt.set_global_seed(7)
layer = nn.Linear(3, 2)
optimiser = nn.SGD(layer.parameters(), 0.1)
optimiser.step((layer(jt.ones((1, 3)) * (jt.rank + 1)) ** 2).sum())  # each rank has its own data
weight = layer.weight.numpy()
mean = (layer.weight.mpi_all_reduce("mean")).numpy()
print(f"rank {jt.rank} of {jt.world_size}: sum {total}, apart {abs(weight - mean).max():.1e}", flush=True)
