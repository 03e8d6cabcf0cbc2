"""Runs in the peers' environment: reads a request a line, does it, and answers with a line.

`python -m bench.peers.worker FOLDER DIMENSIONS`, with the URL of the database in `BENCH_URL`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.peers.alchemy import Alchemy
from bench.peers.langchain import Langchain
from bench.peers.llama_index import LlamaIndex
from bench.peers.work import Passage, Peer, do, load


async def answer(peers: Mapping[str, Peer], corpus: list[Passage], request: dict[str, Any]) -> Any:
    return await do(peers[request.pop("peer")], corpus, **request)


async def serve(folder: Path, dimensions: int) -> None:
    url = os.environ["BENCH_URL"]
    corpus = load(folder)
    peers: dict[str, Peer] = {
        "langchain-postgres": Langchain(url, dimensions),
        "llama-index": LlamaIndex(url, dimensions),
        "advanced-alchemy": Alchemy(url, dimensions),
    }
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            given = {"answer": await answer(peers, corpus, json.loads(line))}
        except Exception as error:  # noqa: BLE001 -- told to the benchmark, which stops
            given = {"error": f"{type(error).__name__}: {error}"[:500]}
        sys.stdout.write(json.dumps(given) + "\n")
        sys.stdout.flush()
    for peer in peers.values():
        await peer.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
