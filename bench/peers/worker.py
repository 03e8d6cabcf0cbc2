"""Runs in the peers' environment: reads a request a line, does it, and answers with a line.

`python -m bench.peers.worker FOLDER DIMENSIONS COUNT CANDIDATES` with so many passages at hand, the
length of the list of candidates of a search, and the URL of the database in `BENCH_URL`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from bench.peers.alchemy import Alchemy
from bench.peers.langchain import Langchain
from bench.peers.llama_index import LlamaIndex
from bench.peers.work import Corpus, Peer, do


async def serve(folder: Path, dimensions: int, count: int, candidates: int) -> None:
    url = os.environ["BENCH_URL"]
    corpus = Corpus(folder, dimensions, count)
    peers: dict[str, Peer] = {
        "langchain-postgres": Langchain(url, dimensions),
        "llama-index": LlamaIndex(url, dimensions, candidates),
        "advanced-alchemy": Alchemy(url, dimensions),
    }
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            request = json.loads(line)
            await do(peers[request.pop("peer")], corpus, **request)
            error = None
        except Exception as failure:  # noqa: BLE001 -- told to the benchmark, which stops
            error = f"{type(failure).__name__}: {failure}"[:500]
        sys.stdout.write(json.dumps({"error": error}) + "\n")
        sys.stdout.flush()
    for peer in peers.values():
        await peer.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), *map(int, sys.argv[2:])))
