"""Measure the same searches with FAISS and usearch, one query at a time. Fails if FAISS finds different distances.

Called by benches/search.rs with the arguments FOLDER WIDTH K HNSW; the folder contains data.f32, queries.f32 and
distances.f32. With HNSW=1, usearch builds its graph as well, which takes minutes for a million descriptors. Prints one
line of JSON with times in milliseconds.
"""

import json
import sys
import time
from pathlib import Path

import faiss
import numpy as np

folder, width, k, hnsw = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1"
data = np.memmap(folder / "data.f32", dtype=np.float32, mode="r").reshape(-1, width)
queries = np.fromfile(folder / "queries.f32", dtype=np.float32).reshape(-1, width)
ours = np.fromfile(folder / "distances.f32", dtype=np.float32).reshape(-1, k)
results = {}


def median_ms(search):
    times = []
    for query in queries[:50]:
        started = time.perf_counter()
        search(query)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


flat = faiss.IndexFlatL2(width)
flat.add(data)
flat.search(queries[:2], k)
results["flat"] = median_ms(lambda query: flat.search(query[None], k))
for query, distances in zip(queries[:50], ours):
    squared, _ = flat.search(query[None], k)
    # The tolerance is for FAISS's rounding: it computes distances as differences of large numbers.
    scale = np.sqrt((query**2).sum())
    if not np.allclose(np.sqrt(squared[0].clip(0)), distances, rtol=1e-4, atol=1e-3 * scale):
        sys.exit(f"FAISS finds {np.sqrt(squared[0])}, the index {distances}")

if hnsw:
    from usearch.index import Index

    started = time.perf_counter()
    graph = Index(ndim=width, metric="l2sq", dtype="f32")
    graph.add(np.arange(len(data)), np.asarray(data))
    results["hnsw_build"] = (time.perf_counter() - started) * 1e3
    results["hnsw"] = median_ms(lambda query: graph.search(query, k))
    found = 0
    for query, distances in zip(queries[:50], ours):
        near = np.sqrt(np.asarray(graph.search(query, k).distances).clip(0))
        found += int((near <= distances[-1] * (1 + 1e-4) + 1e-6).sum())
    results["hnsw_recall"] = found / (50 * k)
print(json.dumps(results))
