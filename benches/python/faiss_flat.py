"""Median milliseconds of FAISS IndexFlatL2, one query at a time; fails where its distances differ from ours.

Called by benches/search.rs: FOLDER WIDTH K, with data.f32, queries.f32 and distances.f32 in the folder.
"""

import sys
import time
from pathlib import Path

import faiss
import numpy as np

folder, width, k = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
data = np.fromfile(folder / "data.f32", dtype=np.float32).reshape(-1, width)
queries = np.fromfile(folder / "queries.f32", dtype=np.float32).reshape(-1, width)
ours = np.fromfile(folder / "distances.f32", dtype=np.float32).reshape(-1, k)

index = faiss.IndexFlatL2(width)
index.add(data)
index.search(queries[:2], k)
times = []
for query, distances in zip(queries[:50], ours):
    started = time.perf_counter()
    squared, _ = index.search(query[None], k)
    times.append(time.perf_counter() - started)
    # FAISS subtracts large numbers from each other; its own rounding is what the tolerance is for.
    scale = np.sqrt((query**2).sum())
    if not np.allclose(np.sqrt(squared[0].clip(0)), distances, rtol=1e-4, atol=1e-3 * scale):
        sys.exit(f"FAISS finds {np.sqrt(squared[0])}, the index {distances}")
print(np.median(times) * 1e3)
