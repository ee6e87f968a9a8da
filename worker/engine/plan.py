from typing import NamedTuple
class Plan(NamedTuple):
    batch: int
    tile: int
class Planner:
    peak_bytes=0
    def __init__(self, plan=None): self._p=plan
    def plan(self, params, recipe, size, count): return self._p or Plan(count, params.tile_size)
    def observe(self,*a): pass
    def smaller(self, recipe, size, plan): return None
