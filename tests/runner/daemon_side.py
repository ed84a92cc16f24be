"""A program: the daemon's side of some attempts until all have ended. `daemon_side.py STATE start|adopt` < orders."""

import select
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from local import clock, make_order

from reconciler.executors.local import LocalExecutor
from reconciler.ports import process
from reconciler.ports.executor import Ended, NotStarted

executor = LocalExecutor(Path(sys.argv[1]), clock)
orders = {}
for line in sys.stdin.read().splitlines():
    path, _, words = line.partition("\0")
    order = make_order(path.split("/")[2], *words.split(chr(1)))
    orders[order.attempt] = order
    if sys.argv[2] == "start":
        executor.start(order)
    else:
        executor.adopt(order.attempt, process.boot_id())
left = set(orders)
while left:
    for event in executor.poll():
        if isinstance(event, NotStarted):
            executor.start(orders[event.attempt])
        if isinstance(event, Ended):
            left.discard(event.attempt)
    select.select([executor], [], [], 0.05 if executor.wake_in() is not None else 1.0)
