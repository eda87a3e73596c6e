import sys, time, tempfile, json
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from lab import *
f = Path(tempfile.mkdtemp(dir="/dev/shm/faults"))
t=time.monotonic()
w=Warm(f); print("warm", time.monotonic()-t)
t=time.monotonic(); r=measure(w,f); print("measure", time.monotonic()-t, r.seconds, r.digests)
import random
rng=random.Random(0)
for kind in ("run","list","search"):
    for i in range(3):
        lab=Lab(w,f/f"{kind}{i}",kind)
        t=time.monotonic()
        met=kill_at_random(lab,r.seconds[kind],2,rng)
        lab.finish()
        print(kind,met,round(time.monotonic()-t,1),lab.check(r))
w.close()
